"""What one supervisor hands to the next comes out as it went in, and that of 0.1.0 is still understood."""

import marshal
import os
import socket
from typing import Any, cast

import pytest

from worker.runtime.attached import Attached
from worker.runtime.audience import Audience
from worker.runtime.eventloop import EventLoop
from worker.runtime.handover import (
    FORMERLY_UNSAID,
    Kept,
    read_handover,
    set_living_over_exec,
    write_handover,
)
from worker.runtime.held import Held, Stream
from worker.runtime.orders import ProcessOrder
from worker.runtime.standard_input import Input
from worker.runtime.wire import FrameReader

PROCESS = cast("ProcessOrder", {"argv": ["sleep", "1"], "env": ["A=b"], "seccomp": b"f", "rows": 1})


class Former:
    """A supervisor, as far as it is handed on."""

    def __init__(self) -> None:
        self.held: dict[str, Held] = {}
        self.audiences: list[tuple[str, Audience]] = []
        self.executions = self
        self.words: list[tuple[int, str, tuple[int, int], int]] = []


def in_memory(content: Any) -> int:
    memory = os.memfd_create("handover", 0)
    os.write(memory, marshal.dumps(content, 2))
    return memory


def handed_on(former: Former, own: tuple[int, int]) -> Any:
    memory, inherited = write_handover(cast("Any", former), Kept(*own, (100, 200)))
    assert all(os.get_inheritable(fd) for fd in inherited)
    taken = read_handover(memory)
    assert not any(os.get_inheritable(fd) for fd in inherited)
    return taken


def test_containers_clients_and_further_processes() -> None:
    pipes = [os.pipe() for _ in range(4)]
    held = Held("a", PROCESS)
    held.pid = 42
    held.streams = [Stream("stdout", pipes[0][0], b"begin"), Stream("stderr", -1)]
    held.input = Input(pipes[1][1], ends_with_first=True)
    held.input.pending += b"typed"
    held.input.is_ending = True
    loop = EventLoop()
    audience = Audience(loop, lambda _: None)
    client, served = socket.socketpair()
    member = Attached(
        served.detach(), FrameReader(b"half"), audience, with_input=True, with_output=False
    )
    audience.admit(member)
    former = Former()
    former.held["a"] = held
    former.audiences = [("a", audience)]
    former.words = [(43, "a", (pipes[2][0], 7), -1), (44, "a", (-1, 8), pipes[3][0])]

    taken = handed_on(former, (pipes[0][1], pipes[1][0]))

    assert (taken.kept.lock_fd, taken.kept.nofile) == (pipes[0][1], (100, 200))
    assert taken.attached == [("a", [(member.fd, (True, False, False), b"", b"half")])]
    assert taken.spawned == former.words
    assert_same(taken.containers[0], held)
    member.close()
    client.close()
    loop._epoll.close()
    for fd in [fd for pair in pipes for fd in pair]:
        os.close(fd)


def assert_same(one: Held, former: Held) -> None:
    assert (one.id, one.pid) == (former.id, former.pid)
    assert one.process == {**FORMERLY_UNSAID, **former.process}
    assert [(stream.name, stream.fd, stream.pending) for stream in one.streams] == [
        (stream.name, stream.fd, stream.pending) for stream in former.streams
    ]
    for name in ("fd", "pending", "ends_with_first", "is_ending", "is_terminal", "takes"):
        assert getattr(one.input, name) == getattr(former.input, name)


def test_that_of_a_supervisor_without_input_is_understood() -> None:
    reading, writing = os.pipe()
    process = {"argv": ["sleep"], "env": []}
    streams = [("stdout", reading, b"x"), ("stderr", -1, b"")]
    content = (1, (reading, writing), (5, 6), [("a", 42, process, streams, ("", 0, 0))])
    taken = read_handover(in_memory(content))
    (one,) = taken.containers
    assert (one.id, one.pid, one.input, one.log) == ("a", 42, None, None)
    assert one.process == {**process, **FORMERLY_UNSAID}
    assert (taken.attached, taken.spawned) == ([], [])
    os.close(reading)
    os.close(writing)


OF_0_1_0 = {
    "argv",
    "env",
    "cwd",
    "user",
    "groups",
    "capabilities",
    "no_new_privileges",
    "ulimits",
    "oom_score_adj",
}


def test_whatever_a_process_order_has_gained_since_has_a_meaning_when_it_is_not_said() -> None:
    assert set(ProcessOrder.__annotations__) == OF_0_1_0 | set(FORMERLY_UNSAID)


def test_that_of_a_later_one_is_not() -> None:
    with pytest.raises(OSError, match="version 99"):
        read_handover(in_memory((99, (), (), [], [], [])))


def test_no_descriptor_is_none() -> None:
    set_living_over_exec([-1], lives=True)
