"""One host: a network namespace with a link to others, a host name, directories, a control group, and a swarmd in it.

It is found by what it is in the kernel, whoever made it: a command needs to know its name and its places only.
"""

import contextlib
import enum
import itertools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.lab import processes, traces
from cli.lab.links import Link
from cli.lab.programs import environment, inside, run
from cli.lab.waiting import wait_for
from common.engine_client import ApiError, CannotConnectError, Client
from common.errors import SystemFailureError

ANSWER_SECONDS_MAX = 180.0
STOP_SECONDS_MAX = 60.0
KILL_SECONDS_MAX = 10.0
TAIL_LINES = 20
PAUSE_SECONDS = 0.05
LOOKS_MIN = 3
"""How often nothing must be found to be sure: a process that turns into another program shows no command line then."""
_TAIL_BYTES = 64 * 1024
_SETS_HOSTNAME = 'hostname "$0" && exec "$@"'


class HostFailedError(SystemFailureError):
    """A host does not do what it was told; the message holds the end of its log."""


class Power(enum.StrEnum):
    """What becomes of a host."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    """The host is there, no swarmd runs; containers may."""
    OFF = "off"
    """Its power was cut, or the machine has been booted since."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """What is a host's own on the machine."""

    data_root: Path
    exec_root: Path
    log: Path
    cgroup_parent: str
    compiled: Path
    """Where Python keeps compiled modules when it may not keep them beside the source."""


class Host:
    """One host. Its swarmd is nobody's child: it goes on when the command that started it has ended."""

    program: Sequence[str | Path] = ("-P", "-m", "cli.swarmd.main")

    def __init__(self, name: str, places: Places, link: Link, *, hostname: str = "") -> None:
        """A host with a network namespace of that name; without a host name of its own it has the machine's."""
        self.name, self.hostname, self.places = name, hostname, places
        self._link = link
        self._pid: int | None = None
        self.options: list[str] = []

    @property
    def address(self) -> str:
        """Where others reach it."""
        return self._link.address

    @property
    def client(self) -> str:
        """A namespace from which it is reached."""
        return self._link.client

    @property
    def data_root(self) -> Path:
        """What survives a power cut."""
        return self.places.data_root

    @property
    def exec_root(self) -> Path:
        """What does not."""
        return self.places.exec_root

    @property
    def log(self) -> Path:
        """Of its swarmd."""
        return self.places.log

    @property
    def cgroup_parent(self) -> str:
        """The group of its containers."""
        return self.places.cgroup_parent

    @property
    def socket(self) -> str:
        """Where its API answers."""
        return f"unix://{self.exec_root}/swarmd.sock"

    @property
    def engine(self) -> Client:
        """Calls its API out of this process."""
        return Client(self.socket, {})

    @property
    def namespace(self) -> Path:
        """Its network namespace."""
        return Path("/run/netns", self.name)

    # ------------------------------------------------------------------------------- life

    def make(self) -> None:
        """Makes its directories, its namespace and its link to others, unless they are there."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if not self.namespace.exists():
            run("ip", "netns", "add", self.name)
            run("ip", "-n", self.name, "link", "set", "lo", "up")
            self._link.plug(self.name)

    def start(self) -> None:
        """Starts swarmd and waits until its API answers; boots the host first, should its power have been cut."""
        self.launch()
        self.until_answers()

    def launch(self) -> None:
        """Starts swarmd and waits for nothing.

        Raises:
            SystemFailureError: it cannot even be started.
        """
        self.make()
        with self.log.open("ab") as log:
            try:
                code = subprocess.run(
                    ["setsid", "--fork", *self.command()],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    env=environment(self.places.compiled),
                    check=False,
                ).returncode
            except OSError as error:
                raise SystemFailureError(f"cannot start swarmd: {error}") from error
        if code:
            raise HostFailedError(f"swarmd of {self.name} cannot be started:\n{self.tail()}")

    def command(self) -> list[str]:
        """How its swarmd is started: all of these words become one process after another, with the same pid."""
        command = inside(self.name)
        if self.hostname:
            command += ["unshare", "--uts", "sh", "-c", _SETS_HOSTNAME, self.hostname]
        command += [sys.executable, *map(str, self.program)]
        command += ["--data-root", str(self.data_root), "--exec-root", str(self.exec_root)]
        return [*command, "--cgroup-parent", self.cgroup_parent, *self.options]

    def until_answers(self) -> None:
        """Waits until the API of a swarmd that was launched answers.

        Raises:
            HostFailedError: swarmd ended.
            TooLateError: it does not answer in time.
        """
        missing = itertools.count(1)

        def look() -> bool:
            if self.answers():
                return True
            if not self.is_alive() and next(missing) >= LOOKS_MIN:
                raise HostFailedError(f"swarmd of {self.name} ended:\n{self.tail()}")
            return False

        wait_for(f"the API of {self.name}", look, seconds=ANSWER_SECONDS_MAX, pause=PAUSE_SECONDS)

    def answers(self) -> bool:
        """Whether its API answers now."""
        try:
            self.engine.get("/version")
        except (CannotConnectError, ApiError):
            return False
        return True

    def is_alive(self) -> bool:
        """Whether its swarmd runs, be it paused."""
        return self.daemon_pid() is not None

    def daemon_pid(self) -> int | None:
        """Of its swarmd; None when there is none."""
        if self._pid is None or not self._is_daemon(self._pid):
            self._pid = next(filter(self._is_daemon, processes.all_pids()), None)
        return self._pid

    def power(self, daemons: Mapping[str, int] | None = None) -> Power:
        """What becomes of it now; ``daemons`` when the machine's processes were looked through already."""
        if not self.namespace.exists():
            return Power.OFF
        pid = self.daemon_pid() if daemons is None else daemons.get(str(self.exec_root))
        if pid is None:
            return Power.STOPPED
        return Power.PAUSED if processes.is_stopped(pid) else Power.RUNNING

    def _is_daemon(self, pid: int) -> bool:
        return processes.is_daemon(processes.arguments_of(pid), self.exec_root)

    def _is_ours(self, pid: int) -> bool:
        arguments = processes.arguments_of(pid)
        return processes.is_daemon(arguments, self.exec_root) or processes.is_supervisor(
            arguments, self.exec_root
        )

    # -------------------------------------------------------------------- what may befall it

    def stop(self) -> None:
        """Ends swarmd in order, also when it is paused; its containers go on."""
        with self._daemon() as daemon:
            if daemon is not None:
                daemon.send(signal.SIGTERM)
                daemon.send(signal.SIGCONT)
                if not daemon.ends_within(STOP_SECONDS_MAX):
                    raise HostFailedError(f"swarmd of {self.name} does not stop:\n{self.tail()}")

    def kill_daemon(self) -> None:
        """Ends swarmd with SIGKILL; its containers go on."""
        with self._daemon() as daemon:
            if daemon is not None:
                daemon.send(signal.SIGKILL)
                daemon.ends_within(KILL_SECONDS_MAX)

    def pause(self) -> None:
        """Stops swarmd as if the machine held its breath; its connections stay open."""
        with self._daemon() as daemon:
            if daemon is not None:
                daemon.send(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets a paused swarmd go on."""
        with self._daemon() as daemon:
            if daemon is not None:
                daemon.send(signal.SIGCONT)

    @contextlib.contextmanager
    def _daemon(self) -> Iterator[processes.Handle | None]:
        pid = self.daemon_pid()
        if pid is None:
            yield None
            return
        with processes.opened(pid, self._is_daemon) as handle:
            yield handle

    def power_cut(self) -> None:
        """Ends the host at once, and forgets what lives in memory only. Nobody is told that connections are over."""
        self._link.unplug()  # first, and at once: the kernel takes its time to end a namespace
        self._kill_all()
        traces.unmount((self.data_root, self.exec_root))
        shutil.rmtree(self.exec_root, ignore_errors=True)
        if self.namespace.exists():
            run("ip", "netns", "del", self.name)

    def _kill_all(self) -> None:
        """Until nothing is left that could start something."""
        clean = itertools.count(1)
        wait_for(
            f"all of {self.name} to end",
            lambda: self._kill_once() and next(clean) >= LOOKS_MIN,
            seconds=KILL_SECONDS_MAX,
        )
        traces.remove_groups(self.cgroup_parent)

    def _kill_once(self) -> bool:
        found = [pid for pid, _ in self.processes()]
        for pid in found:
            processes.kill(pid, self._is_ours)
        for group in traces.cgroups(self.cgroup_parent):
            traces.kill_group(group, self.cgroup_parent)
        if self.namespace.exists():
            namespace = self.namespace.stat()
            spared = processes.ourselves()
            for pid in processes.all_pids():
                if pid not in spared and processes.lives_in(pid, namespace):
                    found.append(pid)
                    processes.kill(pid, lambda it: processes.lives_in(it, namespace))
        return not found

    def erase(self) -> None:
        """Takes every trace of it away, whatever state it is in; also one that another process left behind."""
        self.power_cut()
        self._link.erase()
        for path in (self.data_root, self.exec_root):
            shutil.rmtree(path, ignore_errors=True)
        self.log.unlink(missing_ok=True)

    # ------------------------------------------------------------------------------ traces

    def mounts(self) -> list[str]:
        """What is mounted below its directories, the last one first; its disk itself left out."""
        return traces.mounts((self.data_root, self.exec_root))

    def cgroups(self) -> list[Path]:
        """Its control groups, one for each hierarchy."""
        return traces.cgroups(self.cgroup_parent)

    def processes(self) -> Iterator[tuple[int, str]]:
        """Its swarmd, its supervisor and what the two are about to start, with their command lines."""
        for pid in processes.all_pids():
            if self._is_ours(pid):
                yield pid, " ".join(processes.arguments_of(pid))

    def traces(self) -> list[str]:
        """What is there of it, whether its swarmd runs or not: after ``erase`` nothing is."""
        left = [f"mount {path}" for path in self.mounts()]
        left += [f"control group {path}" for path in self.cgroups()]
        left += [f"process {pid}: {line}" for pid, line in self.processes()]
        if self.namespace.exists():
            left.append(f"network namespace {self.name}")
        return left + [
            f"directory {path}" for path in (self.data_root, self.exec_root) if path.exists()
        ]

    def tail(self, lines: int = TAIL_LINES) -> str:
        """The end of swarmd's log."""
        try:
            with self.log.open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - _TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])
