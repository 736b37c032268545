"""Making a child: pipes, log, group, fork. What was made for a child that could not be made is taken away again."""

import os

from worker.kernel import syscalls
from worker.kernel.cgroupfs import Limits
from worker.runtime.child import Surroundings, become_first_process, become_further_process
from worker.runtime.held import Execution, Held, Report, Stream
from worker.runtime.output import LogFile
from worker.runtime.refusal import INVALID, NOT_FOUND, Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from worker.kernel.cgroupfs import Cgroups, Entrance
    from worker.runtime.orders import StartOrder

HOST_NETWORK = "host"
_NEW_NAMESPACES = (
    syscalls.CLONE_NEWNS | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWPID
)
_OWN_PID_NAMESPACE = "/proc/self/ns/pid"


class Launcher:
    """What every child is made with."""

    def __init__(self, cgroups: "Cgroups", nofile: tuple[int, int]) -> None:
        self._cgroups = cgroups
        self._nofile = nofile
        self._null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        self._pid_namespace = os.open(_OWN_PID_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)

    def start(self, order: "StartOrder") -> Held:
        """Forks a container's first process; whether its program runs comes by its report.

        Raises:
            Refusal: what was asked for cannot be.
            OSError: the kernel refused.
        """
        held = Held(order["id"], order["process"])
        try:
            with _Plumbing() as plumbing:
                self._start(held, order, plumbing)
        except Exception:
            if held.log is not None:
                held.log.close()
            self._cgroups.remove(order["id"])
            raise
        return held

    def _start(self, held: Held, order: "StartOrder", plumbing: "_Plumbing") -> None:
        namespace = plumbing.open_namespace(order["network_namespace"])
        reading, report_fd = plumbing.pipe()
        held.report = Report(reading)
        stdio = (self._null, self._null, self._null)
        if order["log_path"]:
            held.log = LogFile(order["log_path"], order["log_max_bytes"], order["log_max_files"])
            (stdout, their_stdout), (stderr, their_stderr) = plumbing.pipe(), plumbing.pipe()
            held.streams = [Stream("stdout", stdout), Stream("stderr", stderr)]
            stdio = (self._null, their_stdout, their_stderr)
        self._cgroups.create(order["id"], Limits(order["limits"]))
        around = Surroundings(
            entrance=plumbing.enter(self._cgroups.entrance(order["id"])),
            namespace_fd=namespace,
            stdio=stdio,
            report_fd=report_fd,
            nofile=self._nofile,
            shown=self._cgroups.shown,
        )
        kinds = _NEW_NAMESPACES | (0 if order["network_namespace"] else syscalls.CLONE_NEWNET)
        held.pid = syscalls.clone(kinds, cgroup_fd=around.entrance.born_in)
        if held.pid == 0:
            become_first_process(order, around)

    def execute(self, held: Held, argv: list[str], execution: Execution) -> None:
        """Forks a further process of a container.

        Raises:
            Refusal: the container has ended meanwhile.
            OSError: the kernel refused.
        """
        process = held.process.copy()
        process["argv"] = argv
        try:
            with _Plumbing() as plumbing:
                pidfd = plumbing.take(syscalls.pidfd_open(held.pid))
                reading, report_fd = plumbing.pipe()
                execution.report = Report(reading)
                execution.output_fd, output = plumbing.pipe()
                around = Surroundings(
                    entrance=plumbing.enter(self._cgroups.entrance(held.id)),
                    namespace_fd=pidfd,
                    stdio=(self._null, output, output),
                    report_fd=report_fd,
                    nofile=self._nofile,
                    shown=(),
                )
                execution.pid = self._clone_into(pidfd, around.entrance.born_in)
                if execution.pid == 0:
                    become_further_process(process, around)
        except OSError as error:
            if not _is_alive(held.pid):
                raise Refusal(NOT_FOUND, f"container {held.id} is not running") from error
            raise

    def _clone_into(self, pidfd: int, born_in: int) -> int:
        """Forks into a pid namespace: it is the children's from here to the end of this function, so one fork does."""
        syscalls.setns(pidfd, syscalls.CLONE_NEWPID)
        pid = -1
        try:
            pid = syscalls.clone(0, cgroup_fd=born_in)
        finally:
            if pid != 0:
                syscalls.setns(self._pid_namespace, syscalls.CLONE_NEWPID)
        return pid


class _Plumbing:
    """Descriptors of one start: the child's ends are closed here in any case, ours when it fails."""

    def __init__(self) -> None:
        self._mine: list[int] = []
        self._theirs: list[int] = []
        self._entrance: Entrance | None = None

    def pipe(self) -> tuple[int, int]:
        """A pipe: our end, which we read without waiting, and the child's."""
        reading, writing = os.pipe2(os.O_CLOEXEC)
        self._mine.append(reading)
        self._theirs.append(writing)
        os.set_blocking(reading, False)
        return reading, writing

    def take(self, fd: int) -> int:
        """Something else of the child's."""
        self._theirs.append(fd)
        return fd

    def enter(self, entrance: "Entrance") -> "Entrance":
        """The door to its group."""
        self._entrance = entrance
        return entrance

    def open_namespace(self, path: str) -> int:
        """A network namespace to join; -1 for none.

        Raises:
            Refusal: there is no such namespace.
        """
        if path in ("", HOST_NETWORK):
            return -1
        try:
            return self.take(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise Refusal(INVALID, f"network namespace {path}: {reason}") from error

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        failed = [] if kind is None else self._mine
        for fd in (*self._theirs, *failed):
            os.close(fd)
        if self._entrance is not None:
            self._entrance.close()


def _is_alive(pid: int) -> bool:
    """Whether a child of ours runs; a zombie does not."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
