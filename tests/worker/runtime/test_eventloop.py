import os
from functools import partial

from tests.support.supervisor_loop import turn
from worker.runtime.eventloop import EventLoop


def test_a_descriptor_gets_no_event_of_its_number_s_former_owner() -> None:
    """Two are ready at once; the first one's handler replaces the second by another, which is not ready."""
    loop = EventLoop()
    pipes = [os.pipe() for _ in range(2)]
    quiet, their_quiet = os.pipe()
    called: list[str] = []

    def replace(other: int, _events: int) -> None:
        called.append("first")
        loop.forget(pipes[0][0])
        loop.forget(pipes[1][0])
        os.dup2(quiet, other)
        loop.watch(other, lambda _: called.append("not ready"))

    for (reading, writing), (other, _) in zip(pipes, reversed(pipes), strict=True):
        os.write(writing, b"x")
        loop.watch(reading, partial(replace, other))
    turn(loop)
    assert called == ["first"]
    os.write(their_quiet, b"x")
    turn(loop, 1)
    assert called == ["first", "not ready"]
    loop._epoll.close()
    for fd in (*pipes[0], *pipes[1], quiet, their_quiet):
        os.close(fd)
