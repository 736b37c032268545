"""The supervisor's program: ``python -S -E -P supervisor_main.py EXEC_ROOT CGROUP_PARENT STAMP``.

It is started by its path, without installed packages, and finds its own modules beside itself. It says "ready" or why
not on its standard output, goes into the background and keeps nothing of its starter's.
"""

import os
import sys

_HERE = os.path.realpath(__file__)
sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(_HERE))))

import fcntl  # noqa: E402
import gc  # noqa: E402
import resource  # noqa: E402
from _socket import socket as unix_socket  # noqa: E402
from time import time_ns  # noqa: E402

from worker.kernel import syscalls  # noqa: E402
from worker.kernel.cgroupfs import pause  # noqa: E402
from worker.kernel.cgroups import open_cgroups  # noqa: E402
from worker.runtime import wire  # noqa: E402
from worker.runtime.child import IGNORED_BY_SUPERVISOR  # noqa: E402
from worker.runtime.connections import Listener, listen  # noqa: E402
from worker.runtime.eventloop import EventLoop  # noqa: E402
from worker.runtime.exits import EXITS  # noqa: E402
from worker.runtime.handover import (  # noqa: E402
    Handover,
    Kept,
    read_handover,
    seal_executable,
    set_living_over_exec,
    write_handover,
)
from worker.runtime.launch import Launcher  # noqa: E402
from worker.runtime.marks import RUNNING  # noqa: E402
from worker.runtime.oci_launch import ForeignLauncher  # noqa: E402
from worker.runtime.output import format_time  # noqa: E402
from worker.runtime.refusal import describe  # noqa: E402
from worker.runtime.supervisor import SIGCHLD, SIGTERM, Supervisor  # noqa: E402

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Never

_RESUME_PLACE = 5
PID_FILE = "supervisor.pid"
LOCK_FILE = "supervisor.lock"
LOCK_TRIES_MAX = 500
LOG_FILE = "supervisor.log"
LOG_MAX_BYTES = 1 << 20
OOM_SCORE = -999
"""The kernel takes almost anything else first. Docker's shim has the same."""


def main() -> None:
    """Goes into the background and serves, or takes over from the program that this process was."""
    settings = Settings(*sys.argv[1:_RESUME_PLACE])
    if sys.argv[1] == wire.CHECK:
        os.write(1, wire.READY)
        return
    seal_executable([sys.executable, *wire.FLAGS, _HERE, *sys.argv[1:]])
    syscalls.set_process_name(b"swarmd-superv")
    syscalls.make_undumpable()  # So is every child from its first moment: it may be seen from within a container.
    for number in IGNORED_BY_SUPERVISOR:
        syscalls.ignore_signal(number)
    syscalls.block_signals((SIGCHLD, SIGTERM))
    if len(sys.argv) > _RESUME_PLACE and sys.argv[_RESUME_PLACE] == wire.TAKE_OVER:
        _serve(settings, memory=int(sys.argv[_RESUME_PLACE + 1]))
    if os.fork():
        os._exit(0)
    os.setsid()
    _serve(settings, memory=-1)


class Settings:
    """What the program is started with."""

    def __init__(
        self, exec_root: str, parent: str = "", stamp: str = "", descriptors: str = ""
    ) -> None:
        self.exec_root = exec_root
        self.parent = parent
        self.stamp = stamp
        """Of the code, told to clients: one with newer code has this program replaced."""
        self.descriptors = descriptors
        """The soft limit of open files that containers get; "" for the one that this process has."""


def _serve(settings: Settings, memory: int) -> "Never":
    try:
        program = _Program(settings, memory)
    except OSError as error:
        words = f"the supervisor cannot start: {describe(error)}\n"
        os.write(1, words.encode(errors="replace"))
        _log_line(settings.exec_root, words)
        os._exit(1)
    if memory < 0:
        os.write(1, wire.READY)
    _leave_starter(settings.exec_root)
    program.run()


class _Program:
    """Everything of the process, put together."""

    def __init__(self, settings: Settings, memory: int) -> None:
        self._settings = settings
        root = settings.exec_root
        taken = read_handover(memory) if memory >= 0 else None
        kept = taken.kept if taken is not None else None
        self._lock = kept.lock_fd if kept is not None else _prepare_root(root)
        self._nofile = kept.nofile if kept is not None else _raise_nofile(settings)
        self._loop = EventLoop()
        cgroups = open_cgroups(settings.parent)
        foreign = ForeignLauncher(root, settings.parent, cgroups.shown)
        launcher = Launcher(cgroups, self._nofile, foreign)
        self._supervisor = Supervisor(root, cgroups, self._loop, launcher, self._log)
        for one in taken.containers if taken is not None else ():
            self._supervisor.adopt(one)
        self._supervisor.sweep()
        socket = unix_socket(fileno=kept.socket_fd) if kept else listen(f"{root}/{wire.SOCKET}")
        verbs = self._supervisor.verbs()
        verbs[wire.HELLO] = lambda request, _: request.answer(
            {"protocol": wire.PROTOCOL, "stamp": settings.stamp, "parent": settings.parent}
        )
        self._listener = Listener(socket, self._loop, verbs)
        if taken is not None:
            self._take_over(taken)
        self._signals = syscalls.signalfd((SIGCHLD, SIGTERM))
        self._loop.watch(self._signals, lambda _: self._supervisor.handle_signals(self._signals))
        _protect_from_oom(self._log)
        _write_file(f"{root}/{PID_FILE}", f"{os.getpid()}\n")

    def _take_over(self, taken: Handover) -> None:
        """Goes on with those who are attached, and with further processes."""
        for container_id, members in taken.attached:
            self._supervisor.audiences.restore(container_id, members)
        for pid, container_id, words, terminal_fd in taken.spawned:
            request = self._listener.adopt(words)
            self._supervisor.executions.adopt(pid, container_id, request, terminal_fd)

    def run(self) -> "Never":
        """Serves until it is asked to end. No error may end it, for all containers would end with it."""
        syscalls.become_subreaper()
        supervisor = self._supervisor
        supervisor.reap()
        gc.collect()
        gc.freeze()
        while not supervisor.wants_to_end:
            try:
                self._loop.run_once()
                if supervisor.successor:
                    self._become(supervisor.successor)
            except Exception:  # noqa: BLE001 - see above; it is in the log with its place
                self._log_error()
        for name in (wire.SOCKET, PID_FILE):
            os.unlink(f"{self._settings.exec_root}/{name}")
        os._exit(0)

    def _become(self, successor: list[str]) -> None:
        """Executes another program in this process's place; when that fails, all goes on as before."""
        self._supervisor.successor = []
        spawned = self._supervisor.executions.words
        self._listener.close_connections(but={fd for _, _, (fd, _), _ in spawned})
        kept = Kept(self._lock, self._listener.fd, self._nofile)
        memory, inherited = write_handover(self._supervisor, kept)
        try:
            os.execv(successor[0], [*successor, wire.TAKE_OVER, str(memory)])  # noqa: S606 - our own successor
        except OSError:
            set_living_over_exec(inherited, lives=False)
            os.close(memory)
            raise

    def _log(self, words: str) -> None:
        _log_line(self._settings.exec_root, words)

    def _log_error(self) -> None:
        import traceback  # noqa: PLC0415 - a megabyte that is rarely needed

        self._log(traceback.format_exc())
        pause()


def _prepare_root(exec_root: str) -> int:
    """Makes the directories and takes the lock that only one supervisor can have."""
    os.makedirs(exec_root, 0o755, exist_ok=True)
    for name in (EXITS, RUNNING):
        os.makedirs(f"{exec_root}/{name}", 0o700, exist_ok=True)
    lock = os.open(f"{exec_root}/{LOCK_FILE}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(LOCK_TRIES_MAX):  # A child of one that was killed may have it for a moment.
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pause()
        else:
            return lock
    os.close(lock)
    raise OSError(11, f"another supervisor has {exec_root}/{LOCK_FILE}")


def _raise_nofile(settings: Settings) -> tuple[int, int]:
    """Takes as many descriptors as allowed; gives the limit for containers."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return int(settings.descriptors or soft), hard


def _protect_from_oom(log: "Callable[[str], None]") -> None:
    try:
        _write_file("/proc/self/oom_score_adj", str(OOM_SCORE))
    except OSError as error:
        log(f"not protected from the out-of-memory killer: {describe(error)}")


def _leave_starter(exec_root: str) -> None:
    """Keeps nothing of the starter's; what the interpreter itself says goes to the log."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    log = _open_log(exec_root)
    for fd, number in ((null, 0), (null, 1), (log, 2)):
        os.dup2(fd, number)
    os.close(null)
    os.close(log)
    os.chdir("/")


def _open_log(exec_root: str) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    return os.open(f"{exec_root}/{LOG_FILE}", flags, 0o600)


def _log_line(exec_root: str, words: str) -> None:
    """One line; a log that has grown too long begins anew. A full disk costs the line."""
    try:
        fd = _open_log(exec_root)
        if os.fstat(fd).st_size > LOG_MAX_BYTES:
            os.ftruncate(fd, 0)
        os.write(fd, f"{format_time(time_ns())} {words.rstrip()}\n".encode(errors="replace"))
        os.close(fd)
    except OSError:
        return


def _write_file(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


if __name__ == "__main__":
    main()
