"""The supervisor's loop, turned by hand."""

import os
from collections.abc import Callable

from worker.runtime.eventloop import EventLoop

TURNS = 20


def turn(loop: EventLoop, times: int = TURNS) -> None:
    """Handles what is ready, without waiting."""
    for _ in range(times):
        loop.call_at("turn", 0, lambda: None)
        loop.run_once()


def ring(loop: EventLoop, start_of_name: str) -> int:
    """Lets an alarm ring before its time; the time that it was set to, in nanoseconds."""
    (name,) = [name for name in loop._alarms if name.startswith(start_of_name)]
    at_ns, action = loop._alarms.pop(name)
    action()
    return at_ns


def take(fd: int, loop: EventLoop, is_enough: Callable[[bytes], bool]) -> bytes:
    """Reads from a descriptor that does not block while the loop turns."""
    taken = b""
    for _ in range(10_000):
        turn(loop, 1)
        try:
            piece = os.read(fd, 1 << 20)
        except BlockingIOError:
            piece = b""
        taken += piece
        if is_enough(taken):
            return taken
    raise AssertionError(taken[:1000])


def open_descriptors() -> int:
    """Of this process."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - an iterator would be one more
