"""Those who are attached, over real sockets, in a loop that is turned by hand."""

import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.support.supervisor_loop import open_descriptors, ring, take, turn
from worker.runtime.attached import BUFFER_MAX, STALL_SECONDS, Attached
from worker.runtime.audience import MEMBERS_MAX, Audience
from worker.runtime.eventloop import EventLoop
from worker.runtime.refusal import Refusal
from worker.runtime.standard_input import INPUT_MAX, Input
from worker.runtime.wire import (
    END,
    INPUT,
    INPUT_END,
    SIZE,
    STDERR,
    STDOUT,
    FrameReader,
    encode_frame,
)

PIECE = b"x" * 65536


@dataclass
class Hall:
    """An audience, and the clients' ends of its members."""

    loop: EventLoop = field(default_factory=EventLoop)
    words: list[str] = field(default_factory=list)
    clients: list[socket.socket] = field(default_factory=list)
    relieved: int = 0

    def __post_init__(self) -> None:
        self.audience = Audience(self.loop, self.words.append)
        self.audience.on_relief = self._relieve

    def _relieve(self) -> None:
        self.relieved += 1

    def join(self, *, with_input: bool = True, with_output: bool = True) -> socket.socket:
        client, served = socket.socketpair()
        for end in (client, served):
            os.set_blocking(end.fileno(), False)
        member = Attached(
            served.detach(),
            FrameReader(),
            self.audience,
            with_input=with_input,
            with_output=with_output,
        )
        self.audience.admit(member)
        self.clients.append(client)
        return client

    def hears(self, client: socket.socket, count: int) -> list[object]:
        """The next frames."""
        values: list[object] = []
        reader = FrameReader()

        for _ in range(1000):
            turn(self.loop, 1)
            with contextlib.suppress(BlockingIOError):
                values += reader.feed(client.recv(1 << 20))
            if len(values) >= count:
                return values
        raise AssertionError(values)

    def flood(self) -> int:
        """Says so much that somebody who takes nothing is full; how many pieces it took."""
        count = 0
        while not self.audience.is_full:
            self.audience.tell(STDOUT, PIECE)
            count += 1
            assert count < 100
        return count


@pytest.fixture
def hall() -> Iterator[Hall]:
    before = open_descriptors()
    hall = Hall()
    yield hall
    for member in list(hall.audience.members):
        member.close()
    for client in hall.clients:
        client.close()
    hall.loop._epoll.close()
    assert open_descriptors() == before


def test_everybody_hears_what_is_said_and_the_end(hall: Hall) -> None:
    clients = [hall.join(), hall.join()]
    deaf = hall.join(with_output=False)
    hall.audience.open(None)
    hall.audience.tell(STDOUT, b"out")
    hall.audience.tell(STDERR, b"err")
    hall.audience.finish()
    for client in clients:
        assert hall.hears(client, 3) == [(STDOUT, b"out"), (STDERR, b"err"), (END, b"")]
        assert client.recv(1) == b""
    assert hall.hears(deaf, 1) == [(END, b"")]
    assert hall.audience.members == []


def test_one_who_takes_nothing_fills_a_bounded_buffer_and_relieves_when_he_takes(
    hall: Hall,
) -> None:
    slow, quick = hall.join(), hall.join()
    hall.audience.open(None)
    pieces = hall.flood()
    for member in hall.audience.members:
        assert len(member._outgoing) < BUFFER_MAX + 2 * len(PIECE)
    relieved = hall.relieved
    assert hall.hears(quick, pieces) == [(STDOUT, PIECE)] * pieces
    assert (hall.audience.is_full, hall.relieved) == (True, relieved)
    assert hall.hears(slow, pieces) == [(STDOUT, PIECE)] * pieces
    assert (hall.audience.is_full, hall.relieved) == (False, relieved + 1)


def test_one_who_takes_nothing_for_long_is_cut_off_and_the_container_goes_on(hall: Hall) -> None:
    hall.join()
    hall.audience.open(None)
    hall.flood()
    member = hall.audience.members[0]
    assert ring(hall.loop, "attached") == member._taken_at + STALL_SECONDS * 10**9
    assert hall.audience.members == []
    assert not hall.audience.is_full
    assert hall.relieved == 1
    assert "cut off" in hall.words[0]


def test_one_who_has_left_while_he_was_full_relieves(hall: Hall) -> None:
    client = hall.join()
    hall.audience.open(None)
    hall.flood()
    client.close()
    turn(hall.loop)
    assert hall.audience.members == []
    assert hall.relieved == 1
    assert not hall.loop._alarms


def test_input_waits_in_the_client_while_the_container_does_not_read(hall: Hall) -> None:
    reading, writing = os.pipe2(os.O_NONBLOCK)
    standard_input = Input(writing)
    standard_input.watch(hall.loop)
    client = hall.join()
    hall.audience.open(standard_input)
    sent = 0
    frame = encode_frame((INPUT, PIECE))
    while True:
        try:
            sent += client.send(frame[sent % len(frame) :])
        except BlockingIOError:
            turn(hall.loop)
            if standard_input.is_full:
                break
    assert len(standard_input.pending) < INPUT_MAX + 2 * len(frame)
    whole = sent // len(frame)
    client.close()  # All that was sent comes, though nobody is there any more.
    turn(hall.loop)
    taken = take(reading, hall.loop, lambda taken: len(taken) >= whole * len(PIECE))
    assert set(taken) == {ord("x")}
    turn(hall.loop)
    assert hall.audience.members == []
    standard_input.close()
    os.close(reading)


def test_what_is_typed_before_the_start_comes_after_it(hall: Hall) -> None:
    client = hall.join()
    client.send(encode_frame((INPUT, b"early")) + encode_frame((INPUT_END, b"")))
    turn(hall.loop)
    reading, writing = os.pipe2(os.O_NONBLOCK)
    standard_input = Input(writing)
    standard_input.watch(hall.loop)
    hall.audience.open(standard_input)
    turn(hall.loop)
    assert os.read(reading, 100) == b"early"
    assert os.read(reading, 100) == b""
    os.close(reading)


def test_one_who_leaves_before_the_start_is_forgotten(hall: Hall) -> None:
    hall.join().close()
    turn(hall.loop)
    assert hall.audience.members == []
    assert hall.relieved == 1


LEAVING = {
    "stdin once: the first with input ends it": (True, True, True),
    "an onlooker does not": (True, False, False),
    "nor does anybody without stdin once": (False, True, False),
}


@pytest.mark.parametrize(("once", "with_input", "ends"), LEAVING.values(), ids=LEAVING)
def test_leaving(hall: Hall, *, once: bool, with_input: bool, ends: bool) -> None:
    reading, writing = os.pipe2(os.O_NONBLOCK)
    standard_input = Input(writing, ends_with_first=once)
    standard_input.watch(hall.loop)
    hall.audience.open(standard_input)
    hall.join(with_input=with_input).close()
    turn(hall.loop)
    assert (standard_input.fd < 0) is ends
    standard_input.close()
    os.close(reading)


def test_sizes_are_handed_on(hall: Hall) -> None:
    sizes: list[tuple[int, int]] = []
    hall.audience.on_size = lambda rows, columns: sizes.append((rows, columns))
    client = hall.join()
    hall.audience.open(None)
    client.send(encode_frame((SIZE, (24, 80))))
    turn(hall.loop)
    assert sizes == [(24, 80)]


@pytest.mark.parametrize("words", [encode_frame(7), encode_frame((1, 2, 3)), b"\xff" * 8])
def test_one_who_talks_nonsense_is_let_go(hall: Hall, words: bytes) -> None:
    client = hall.join()
    hall.audience.open(None)
    client.send(words)
    turn(hall.loop)
    assert hall.audience.members == []
    assert client.recv(1) == b""


def test_there_is_room_for_so_many(hall: Hall) -> None:
    for _ in range(MEMBERS_MAX):
        hall.audience.check_room()
        hall.join()
    with pytest.raises(Refusal, match="attached"):
        hall.audience.check_room()


def test_another_supervisor_goes_on_in_the_middle_of_a_frame(hall: Hall) -> None:
    client = hall.join()
    hall.audience.open(None)
    pieces = hall.flood()
    client.send(encode_frame((SIZE, (1, 2)))[:5])
    turn(hall.loop)
    (member,) = hall.audience.members
    words = member.words
    other = Hall()
    other.loop._epoll.close()
    other.loop = EventLoop()
    other.audience = Audience(other.loop, other.words.append)
    sizes: list[tuple[int, int]] = []
    other.audience.on_size = lambda rows, columns: sizes.append((rows, columns))
    other.audience.open(None)
    hall.loop.forget(member.fd)
    hall.audience.members.clear()
    other.audience.restore(words)
    other.audience.tell(STDOUT, b"last")
    client.send(encode_frame((SIZE, (1, 2)))[5:])
    expected = [(STDOUT, PIECE)] * pieces + [(STDOUT, b"last")]
    assert other.hears(client, pieces + 1) == expected
    turn(other.loop)
    assert sizes == [(1, 2)]
    other.audience.members[0].close()
    other.loop._epoll.close()
