import os
from collections.abc import Iterator

import pytest

from tests.support.supervisor_loop import open_descriptors, take, turn
from worker.runtime.eventloop import EventLoop
from worker.runtime.standard_input import INPUT_MAX, Input


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    before = open_descriptors()
    loop = EventLoop()
    yield loop
    loop._epoll.close()
    assert open_descriptors() == before


def test_what_does_not_fit_waits_and_then_comes_in_order(loop: EventLoop) -> None:
    reading, writing = os.pipe2(os.O_NONBLOCK)
    reliefs: list[bool] = []
    one = Input(writing)
    one.watch(loop)
    one.relief = lambda: reliefs.append(one.is_full)
    content = os.urandom(65536 + 2 * INPUT_MAX)
    one.write(content)
    assert one.is_full
    one.end()
    one.write(b"after the end")
    assert take(reading, loop, lambda taken: len(taken) >= len(content)) == content
    turn(loop)
    assert os.read(reading, 1) == b""
    assert one.fd == -1
    assert reliefs == [False]
    os.close(reading)


def test_what_nobody_can_read_any_more_is_dropped(loop: EventLoop) -> None:
    reading, writing = os.pipe2(os.O_NONBLOCK)
    one = Input(writing)
    one.watch(loop)
    one.write(b"x" * (3 * INPUT_MAX))
    os.close(reading)
    turn(loop)
    assert (one.fd, bytes(one.pending)) == (-1, b"")
    one.write(b"more")
    assert not one.pending


def test_a_terminal_has_no_end_and_may_take_nothing(loop: EventLoop) -> None:
    master, slave = os.openpty()
    os.set_blocking(master, False)
    deaf = Input(master, is_terminal=True, takes=False)
    deaf.watch(loop)
    deaf.write(b"echo\n")
    deaf.end()
    assert deaf.fd == master
    with pytest.raises(BlockingIOError):
        os.read(master, 10)
    deaf.close()
    os.close(slave)
