"""Descriptors that come with requests, and connections that become something else."""

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.supervisor_loop import open_descriptors, turn
from worker.runtime import wire
from worker.runtime.connections import DESCRIPTORS_MAX, Connection, Request
from worker.runtime.eventloop import EventLoop


@dataclass
class Served:
    """A client and the connection that serves it; the verb "take" does what the test says."""

    loop: EventLoop = field(default_factory=EventLoop)
    requests: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.client, served = socket.socketpair()
        os.set_blocking(served.fileno(), False)
        self.connection = Connection(served.detach(), self.loop, {"take": self._take})

    def _take(self, request: Request, _: Any) -> None:
        self.requests.append(request)

    def send(self, count: int) -> None:
        files = [os.open("/dev/null", os.O_RDONLY) for _ in range(count)]
        socket.send_fds(self.client, [wire.encode_frame((1, "take", None))], files)
        for fd in files:
            os.close(fd)
        turn(self.loop)

    def answers(self) -> list[object]:
        return wire.FrameReader().feed(self.client.recv(1000))


@pytest.fixture
def served() -> Iterator[Served]:
    before = open_descriptors()
    served = Served()
    yield served
    served.client.close()
    turn(served.loop)
    served.connection.close()
    served.loop._epoll.close()
    assert open_descriptors() == before


def test_descriptors_are_the_takers(served: Served) -> None:
    served.send(DESCRIPTORS_MAX)
    taken = served.requests[0].take_descriptors()
    assert len(taken) == DESCRIPTORS_MAX
    assert not any(os.get_inheritable(fd) for fd in taken)
    assert served.requests[0].take_descriptors() == []
    for fd in taken:
        os.close(fd)


def test_descriptors_that_nobody_takes_are_closed_with_the_connection(served: Served) -> None:
    served.send(2)
    assert served.connection.is_open


def test_more_than_a_request_can_have_end_the_connection(served: Served) -> None:
    served.send(DESCRIPTORS_MAX + 1)
    assert not served.connection.is_open
    assert served.requests == []


def test_a_request_may_be_answered_twice(served: Served) -> None:
    served.send(1)
    served.requests[0].answer(41)
    served.requests[0].answer(0)
    assert served.answers() == [(1, wire.OK, 41), (1, wire.OK, 0)]


def test_a_connection_that_was_taken_answers_by_its_taker(served: Served) -> None:
    served.send(1)
    fd, reader = served.requests[0].take_connection()
    assert not served.requests[0].is_heard
    assert reader.rest == b""
    os.write(fd, served.requests[0].encode(None))
    assert served.answers() == [(1, wire.OK, None)]
    os.close(fd)
