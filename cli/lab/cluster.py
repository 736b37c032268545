"""Hosts joined by a switch, each with a swarmd of its own; and what may befall them.

```
 namespace NAME ── br0, the clients' place
     │ m1            │ m2            │ w1        ports of the bridge, named like the hosts
 NAME-m1          NAME-m2         NAME-w1        a namespace, directories, a cgroup parent, a host name each
```

Nothing of it touches the machine's own network. The unix socket of each host answers whatever befalls the network.
"""

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any, Generic, TypeVar

from cli.lab.host import Host
from cli.lab.interrupts import undisturbed
from cli.lab.links import Switch
from cli.lab.waiting import wait_for
from common.engine_client import ApiError, CannotConnectError

H = TypeVar("H", bound=Host)
SWARM_PORT = 2377
AT_ONCE_MAX = 16
"""Hosts to which something is done at the same time."""
READY_SECONDS_MAX = 180.0
_COMING = ("pending", "active")
LEADER_SECONDS_MAX = 30.0


class Cluster(Generic[H]):
    """Hosts by name. Whatever is done to them, ``erase`` takes every trace away."""

    def __init__(self, switch: Switch, hosts: Mapping[str, H]) -> None:
        """Hosts that are not there before ``make``."""
        self.switch, self.hosts = switch, hosts
        self.break_off: Callable[[], None] | None = None
        """Called when something done side by side is interrupted, so that all of it ends soon."""

    def __getitem__(self, name: str) -> H:
        """The host of that name."""
        return self.hosts[name]

    # ------------------------------------------------------------------------------- life

    def make(self) -> None:
        """Makes the switch and the hosts; no swarmd runs yet."""
        self.switch.make()
        self._side_by_side(host.make for host in self.hosts.values())

    def start(self, *names: str) -> None:
        """Starts swarmd on these hosts, or on all, side by side; returns once all answer."""
        started = [self.hosts[name] for name in names or self.hosts]
        self._side_by_side(host.launch for host in started)
        self._side_by_side(host.until_answers for host in started)

    def erase(self) -> None:
        """Takes every trace away, also of a cluster that another process left behind."""
        self._side_by_side(host.erase for host in self.hosts.values())
        self.switch.erase()

    # ---------------------------------------------------------------------------- as swarm

    def form(
        self, managers: Sequence[str], workers: Sequence[str] = (), spec: object = None
    ) -> None:
        """Makes one swarm of them, on the first manager; returns once all are Ready."""
        first = self.hosts[managers[0]]
        first.engine.post("/swarm/init", {**_addresses(first), "Spec": spec or {}})
        tokens = first.engine.get("/swarm")["JoinTokens"]
        joins = [lambda: self._join_in_turn(managers[1:], tokens["Manager"], first)]
        joins += [
            lambda name=name: self.join(name, tokens["Worker"], first)  # type: ignore[misc]
            for name in workers
        ]
        self._side_by_side(joins)
        wanted = {*managers, *workers}
        wait_for("all nodes to be Ready", lambda: self.ready(first) >= wanted, seconds=READY_SECONDS_MAX)  # fmt: skip

    def _join_in_turn(self, names: Sequence[str], token: str, through: Host) -> None:
        """Managers: one change of the members at a time."""
        for name in names:
            self.join(name, token, through)

    def join(self, name: str, token: str, through: Host) -> None:
        """Joins a host to the swarm that ``through`` manages; the joining may go on afterwards.

        Raises:
            ApiError: it was refused.
        """
        host = self.hosts[name]
        remote = [f"{through.address}:{SWARM_PORT}"]
        body = {**_addresses(host), "RemoteAddrs": remote, "JoinToken": token}
        try:
            host.engine.post("/swarm/join", body)
        except ApiError:
            if host.engine.get("/info")["Swarm"]["LocalNodeState"] not in _COMING:
                raise

    @staticmethod
    def ready(host: Host) -> set[str]:
        """Names of the nodes that are Ready, managers only when the others reach them."""
        return {
            node["Description"]["Hostname"]
            for node in host.engine.get("/nodes")
            if node["Status"]["State"] == "ready"
            and node.get("ManagerStatus", {}).get("Reachability", "reachable") == "reachable"
        }

    def leader(self, among: Sequence[str] | None = None) -> str:
        """The name of the manager that leads, as one of these, or of all, knows it; waits until there is one."""
        return wait_for(
            "a leader",
            lambda: self._leader(among or tuple(self.hosts)),
            seconds=LEADER_SECONDS_MAX,
        )

    def _leader(self, among: Sequence[str]) -> str:
        for name in among:
            with contextlib.suppress(ApiError, CannotConnectError, OSError):
                for node in self._nodes(self.hosts[name]):
                    if node.get("ManagerStatus", {}).get("Leader"):
                        return str(node["Description"]["Hostname"])
        return ""

    def _nodes(self, host: H) -> list[dict[str, Any]]:
        nodes: list[dict[str, Any]] = host.engine.get("/nodes")
        return nodes

    def _side_by_side(self, acts: Iterable[Callable[[], object]]) -> None:
        """Does all of these at the same time, so many at once; returns when all have ended.

        Raises:
            BaseException: what the first that failed raised; what had not begun then is not begun any more.
        """
        pool = ThreadPoolExecutor(AT_ONCE_MAX, thread_name_prefix="lab")
        try:
            futures = [pool.submit(act) for act in acts]
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except BaseException:
            with undisturbed():
                pool.shutdown(wait=False, cancel_futures=True)
                if self.break_off is not None:
                    self.break_off()
                pool.shutdown()
            raise
        pool.shutdown()

    # -------------------------------------------------------------------- what may befall them

    def power_cut(self, name: str) -> None:
        """Ends the whole host; ``start`` boots it again."""
        self.hosts[name].power_cut()

    def pause(self, name: str) -> None:
        """Stops swarmd as if the machine held its breath."""
        self.hosts[name].pause()

    def resume(self, name: str) -> None:
        """Lets it go on."""
        self.hosts[name].resume()

    def cut(self, name: str, *, from_: str | None = None, one_way: bool = False) -> None:
        """Cuts a host off: from another or from all. One way: it still hears them, but they do not hear it."""
        self.switch.cut(name, from_=from_, one_way=one_way)

    def heal(self, name: str | None = None) -> None:
        """Undoes every cut, or every one that concerns a host."""
        self.switch.heal(name)


def _addresses(host: Host) -> dict[str, str]:
    return {"ListenAddr": f"0.0.0.0:{SWARM_PORT}", "AdvertiseAddr": host.address}
