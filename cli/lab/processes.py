"""Processes of a host: found by what they are, never by a number that was kept, and signalled by a handle on them.

A number may have been given to somebody else since it was read. So a process is opened first (``pidfd``), then looked
at, and then signalled by the handle: it cannot be another one than was looked at.
"""

import contextlib
import itertools
import os
import select
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

SUPERVISOR_PROGRAM = "supervisor_main.py"
EXEC_ROOT_FLAG = "--exec-root"
_PROC = Path("/proc")
_MILLISECONDS = 1000


def arguments_of(pid: int) -> Sequence[str]:
    """The command line of a process; empty when it is gone, or has none."""
    try:
        text = (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return ()
    return text.decode(errors="replace").rstrip("\0").split("\0") if text else ()


def is_daemon(arguments: Sequence[str], exec_root: Path) -> bool:
    """Whether a command line is that of the swarmd of an exec-root, or of what is about to become it."""
    pair = (EXEC_ROOT_FLAG, str(exec_root))
    return pair in itertools.pairwise(arguments)


def is_supervisor(arguments: Sequence[str], exec_root: Path) -> bool:
    """Whether it is that of the supervisor of an exec-root (or of a container that it is about to start)."""
    root = str(exec_root)
    return root in arguments and any(word.endswith(SUPERVISOR_PROGRAM) for word in arguments)


def all_pids() -> Iterator[int]:
    """Of every process of the machine."""
    for path in _PROC.iterdir():
        if path.name.isdigit():
            yield int(path.name)


def daemons() -> Mapping[str, int]:
    """Of each swarmd of the machine: its exec-root, and its pid."""
    found: dict[str, int] = {}
    for pid in all_pids():
        for flag, value in itertools.pairwise(arguments_of(pid)):
            if flag == EXEC_ROOT_FLAG:
                found[value] = pid
    return found


def is_stopped(pid: int) -> bool:
    """Whether a process stands still (SIGSTOP)."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] == "T"


def lives_in(pid: int, namespace: os.stat_result) -> bool:
    """Whether a process is in a network namespace."""
    try:
        return os.path.samestat((_PROC / str(pid) / "ns" / "net").stat(), namespace)
    except OSError:
        return False


def ourselves() -> frozenset[int]:
    """This process and those that it came from: they are not ended together with a host."""
    found: set[int] = set()
    pid = os.getpid()
    while pid > 1 and pid not in found:
        found.add(pid)
        try:
            text = (_PROC / str(pid) / "stat").read_text()
        except OSError:
            break
        pid = int(text.rpartition(")")[2].split()[1])
    return frozenset(found)


class Handle:
    """A process that cannot turn into another one."""

    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid = pid
        self._descriptor = descriptor

    def send(self, number: signal.Signals) -> None:
        """Signals it; one that has ended is fine."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, number)

    def ends_within(self, seconds: float) -> bool:
        """Whether it has ended by then."""
        watch = select.poll()
        watch.register(self._descriptor, select.POLLIN)
        return bool(watch.poll(seconds * _MILLISECONDS))


@contextlib.contextmanager
def opened(pid: int, is_it: Callable[[int], bool]) -> Iterator[Handle | None]:
    """A handle on a process if it is what was looked for; None when it is not, or is gone."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield Handle(pid, descriptor) if is_it(pid) else None
    finally:
        os.close(descriptor)


def kill(pid: int, is_it: Callable[[int], bool]) -> None:
    """SIGKILL to a process if it is what was looked for."""
    with opened(pid, is_it) as handle:
        if handle is not None:
            handle.send(signal.SIGKILL)
