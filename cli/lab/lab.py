"""A lab: hosts that a user makes on his machine, breaks, mends and removes, with one command each."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from typing_extensions import override

from cli.lab import images, processes, programs
from cli.lab.cluster import AT_ONCE_MAX, Cluster
from cli.lab.host import Host, Places, Power
from cli.lab.interrupts import interrupted_by_signals, undisturbed
from cli.lab.links import Cuts, Switch
from cli.lab.records import Plan, Records
from common.engine_client import ApiError, CannotConnectError, Client
from common.errors import (
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    SystemFailureError,
    UnavailableError,
)

CGROUP_PREFIX = "swarmd-lab-"
LOOK_SECONDS_MAX = 3.0
"""How long a swarmd may take to tell what it knows of the nodes."""
Tell = Callable[[str], None]
"""Is told of each step, from any thread."""


def need_root() -> None:
    """Refuses anybody else.

    Raises:
        ForbiddenError: in words.
    """
    if os.geteuid() != 0:
        raise ForbiddenError(
            "a lab needs root: it makes network namespaces, mounts and control groups",
            hint="try it with sudo",
        )


def need_programs() -> None:
    """Refuses a machine on which something is missing.

    Raises:
        SystemFailureError: what, and how to get it.
    """
    missing = programs.missing_programs()
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        raise SystemFailureError(
            f"a lab needs programs that are missing here: {', '.join(missing)}",
            hint=f"apt-get install {packages}",
        )


class Lab(Cluster[Host]):
    """The hosts of a plan. Nothing is made, looked for or kept by making one of these."""

    def __init__(self, plan: Plan, records: Records) -> None:
        self.plan, self.records = plan, records
        self._tell: Tell = lambda _text: None
        state, memory = records.state(plan.name), records.memory(plan.name)
        switch = Switch(plan.name, plan.network)
        super().__init__(
            switch,
            {
                name: Host(
                    f"{plan.name}-{name}",
                    Places(
                        data_root=state / name / "data",
                        exec_root=memory / name,
                        log=state / name / "swarmd.log",
                        cgroup_parent=f"/{CGROUP_PREFIX}{plan.name}-{name}",
                        compiled=state / "compiled",
                    ),
                    switch.port(number, name),
                    hostname=name,
                )
                for number, name in enumerate(plan.hosts, 1)
            },
        )
        for host in self.hosts.values():
            host.options = ["--log-level", plan.log_level]

    def choose(self, names: Sequence[str]) -> dict[str, Host]:
        """The hosts of these names.

        Raises:
            NotFoundError: one is of no host.
        """
        for name in names:
            self.host(name)
        return {name: self.hosts[name] for name in names}

    def host(self, name: str) -> Host:
        """The host of a name.

        Raises:
            NotFoundError: there is none.
        """
        try:
            return self.hosts[name]
        except KeyError:
            there = ", ".join(self.hosts)
            raise NotFoundError(
                f"lab {self.plan.name!r} has no host {name!r}", hint=f"its hosts are {there}"
            ) from None

    # -------------------------------------------------------------------------------- up, down

    def bring_up(self, tell: Tell, spec: object = None) -> None:
        """Makes all of it and one swarm of it, each host with its images; returns once all nodes are Ready."""
        tell(f"making the switch and {len(self.hosts)} hosts on {self.plan.network}")
        files = images.archive()
        self.make()
        programs.compile_swarmd(self.records.state(self.plan.name) / "compiled")
        tell(f"starting swarmd on {' '.join(self.hosts)}")
        self._tell = tell
        self.start()
        tell("all answer: importing images, and making one swarm of them")
        acts: list[Callable[[], object]] = [
            lambda: self.form(self.plan.manager_names, self.plan.worker_names, spec)
        ]
        acts += [
            lambda host=host: images.import_all(host.engine, files)  # type: ignore[misc]
            for host in self.hosts.values()
        ]
        self._side_by_side(acts)

    @override
    def join(self, name: str, token: str, through: Host) -> None:
        """Tells of it, too."""
        super().join(name, token, through)
        self._tell(f"{name} has joined")

    def end_daemons(self) -> None:
        """Whoever waits for one of them waits no longer."""
        for host in self.hosts.values():
            host.kill_daemon()

    def take_down(self) -> None:
        """Takes every trace of the hosts and the switch away, and makes sure of it.

        Raises:
            SystemFailureError: something is left.
        """
        self.erase()
        left = [trace for host in self.hosts.values() for trace in host.traces()]
        if self.switch.is_there():
            left.append(f"network namespace {self.switch.namespace}")
        if left:
            raise SystemFailureError(f"something of the lab is left: {'; '.join(left)}")

    # -------------------------------------------------------------------------------- to hosts

    def power_up(self) -> None:
        """Makes the switch again where a reboot of the machine has taken it away."""
        if not self.switch.is_there():
            self.switch.make()

    def need_switch(self) -> None:
        """Refuses to go on where there is none.

        Raises:
            UnavailableError: the machine has been booted since.
        """
        if not self.switch.is_there():
            raise UnavailableError(
                f"all of lab {self.plan.name!r} is off", hint="swarmctl lab start boots its hosts"
            )

    def boot(self, names: Sequence[str]) -> None:
        """Starts swarmd on these hosts, where it does not run; boots those that are off.

        Raises:
            UnavailableError: one is paused.
        """
        chosen = self.choose(names)
        for name, host in chosen.items():
            if host.power() is Power.PAUSED:
                raise UnavailableError(f"{name} is paused", hint=f"swarmctl lab resume {name}")
        down = [name for name, host in chosen.items() if not host.is_alive()]
        if down:
            self.start(*down)

    def to_each(self, names: Sequence[str], act: Callable[[Host], object]) -> None:
        """Does something to these hosts, side by side."""
        self._side_by_side(
            (lambda host=host: act(host))  # type: ignore[misc]
            for host in self.choose(names).values()
        )

    def load(self, path: Path, names: Sequence[str]) -> None:
        """Loads the images of an archive on these hosts, or on all on which swarmd runs.

        Raises:
            UnavailableError: one that was named cannot answer.
        """
        chosen = self.choose(names or self._up())
        for name, host in chosen.items():
            if host.power() is not Power.RUNNING:
                raise UnavailableError(f"{name} is {host.power()}: it can load no images")
        self.to_each(list(chosen), lambda host: images.load(host.engine, path))

    def _up(self) -> list[str]:
        return [name for name, power in self.powers().items() if power is Power.RUNNING]

    # --------------------------------------------------------------------------------- looking

    def powers(self) -> Mapping[str, Power]:
        """What becomes of each host."""
        daemons = processes.daemons()
        return {name: host.power(daemons) for name, host in self.hosts.items()}

    def cuts(self) -> Cuts:
        """Who is cut off."""
        return self.switch.cuts() if self.switch.is_there() else Cuts()

    def nodes(self, powers: Mapping[str, Power]) -> Mapping[str, Mapping[str, Any]]:
        """Nodes by host name, as the manager that leads knows them, else as another does; none when nobody tells."""
        running = [name for name, power in powers.items() if power is Power.RUNNING]
        with ThreadPoolExecutor(AT_ONCE_MAX) as pool:
            told = dict(zip(running, pool.map(self._told, running), strict=True))
        heard = {name: nodes for name, nodes in told.items() if nodes}
        for name, nodes in heard.items():
            if nodes.get(name, {}).get("ManagerStatus", {}).get("Leader"):
                return nodes
        return next(iter(heard.values()), {})

    def _told(self, name: str) -> Mapping[str, Mapping[str, Any]]:
        engine = Client(self.hosts[name].socket, {}, stale=True, patience_seconds=LOOK_SECONDS_MAX)
        try:
            nodes = engine.get("/nodes")
        except (ApiError, CannotConnectError):  # a worker, or one that holds its breath
            return {}
        return {node["Description"]["Hostname"]: node for node in nodes}


def up(records: Records, wanted: Plan, tell: Tell, spec: object = None) -> Lab:
    """Makes a lab; what goes wrong, or is interrupted, undoes all of it.

    Raises:
        SwarmdError, ApiError, CannotConnectError, KeyboardInterrupt: the lab could not be made, and nothing is left.
    """
    need_programs()
    with interrupted_by_signals(), records.new(wanted) as plan:
        lab = Lab(plan, records)
        lab.break_off = lab.end_daemons
        try:
            lab.bring_up(tell, spec)
            records.complete(plan)
        except BaseException:
            with undisturbed():
                tell("taking everything away again")
                lab.take_down()
                records.remove(plan.name)
            raise
        lab.break_off = None
        return lab


def down(records: Records, name: str) -> None:
    """Removes a lab, whatever state it is in."""
    with records.alone(name) as plan, undisturbed():
        Lab(plan, records).take_down()
        records.remove(name)


def cut(lab: Lab, name: str, *, from_: str | None, one_way: bool) -> None:
    """Cuts a host off from another, or from all.

    Raises:
        NotFoundError: a name is of no host.
        InvalidInputError: of itself.
    """
    lab.host(name)
    if from_ is not None:
        lab.host(from_)
        if from_ == name:
            raise InvalidInputError("a host cannot be cut off from itself")
    lab.need_switch()
    lab.cut(name, from_=from_, one_way=one_way)
