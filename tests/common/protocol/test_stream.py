"""A stream's bounds and its end, on a transport that does what it is told."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from typing_extensions import override

from common.protocol.framing import ALIVE, length_prefix
from common.protocol.stream import (
    STUCK_SILENCES,
    TICKS_PER_SILENCE,
    WRITE_BYTES,
    FramedStream,
    StreamBounds,
)

BOUNDS = StreamBounds(frame_bytes_max=1000, buffer_bytes_max=2000, silence_seconds=1000.0)


class FakeTransport(asyncio.Transport):
    """Takes what is written; is full when told so."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.reads = True
        self.closes = 0
        self.ended = ""
        self.after_write: Callable[[], None] = lambda: None

    @override
    def write(self, data: Any) -> None:
        self.written.append(bytes(data))
        self.after_write()

    @override
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == WRITE_BYTES

    @override
    def pause_reading(self) -> None:
        self.reads = False

    @override
    def resume_reading(self) -> None:
        self.reads = True

    @override
    def close(self) -> None:
        self.closes += 1
        self.ended = self.ended or "closed"

    @override
    def abort(self) -> None:
        self.ended = "aborted"


class End:
    """One end of a stream, and what its user sees."""

    def __init__(self, bounds: StreamBounds = BOUNDS) -> None:
        self.stream, self.transport = FramedStream(bounds), FakeTransport()
        self.frames: list[bytes] = []
        self.ended: list[str] = []
        self.rooms = 0
        self.stream.connection_made(self.transport)

    async def attach(self) -> None:
        self.stream.attach(self.frames.append, ended=self.ended.append, room=self._room)
        await turn()

    def _room(self) -> None:
        self.rooms += 1

    def comes(self, data: bytes) -> None:
        self.stream.get_buffer(len(data))[: len(data)] = data
        self.stream.buffer_updated(len(data))

    def ticks(self, count: int) -> None:
        for _ in range(count):
            self.stream._on_tick()


async def turn() -> None:
    await asyncio.sleep(0)


def framed(frame: bytes) -> bytes:
    return length_prefix(frame) + frame


@pytest.fixture
async def end() -> End:
    made = End()
    await made.attach()
    return made


async def test_a_frame_goes_out_at_once_unless_it_has_company(end: End) -> None:
    one, two, three = framed(b"one"), framed(b"two"), framed(b"three")

    async def written(*frames: bytes) -> tuple[list[bytes], list[bytes]]:
        """In the turn itself, and behind it."""
        end.transport.written.clear()
        for frame in frames:
            assert end.stream.send(frame)
        at_once = list(end.transport.written)
        await turn()
        return at_once, end.transport.written[len(at_once) :]

    assert await written(b"one") == ([one], [])
    assert await written(b"one", b"two", b"three") == ([one], [two + three])
    assert await written(b"one", b"two", b"three") == ([], [one + two + three])
    assert await written(b"one") == ([], [one])
    assert await written(b"one") == ([one], [])


async def test_what_comes_before_there_is_a_user_waits() -> None:
    end = End()
    before = end.transport.reads
    end.comes(framed(b"early"))
    end.comes(framed(b"bird")[:-1])
    await end.attach()
    assert (before, end.transport.reads) == (False, True)
    end.comes(b"d")
    assert end.frames == [b"early", b"bird"]


async def test_a_reader_that_is_slow_never_costs_more_than_the_bound(end: End) -> None:
    end.stream.pause_writing()
    sent = [end.stream.send(b"x" * 96) for _ in range(100)]
    assert sent == [True] * 20 + [False] * 80
    assert end.stream.waiting_bytes == 2000
    await turn()
    assert end.transport.written == []
    end.stream.resume_writing()
    assert sum(map(len, end.transport.written)) == 2000
    assert (end.stream.waiting_bytes, end.rooms) == (0, 1)
    assert end.stream.send(b"x")


async def test_writing_stops_as_soon_as_the_transport_is_full() -> None:
    end = End(StreamBounds(frame_bytes_max=10, buffer_bytes_max=10**7, silence_seconds=1000.0))
    await end.attach()
    end.transport.after_write = end.stream.pause_writing
    for _ in range(3):
        end.stream.send(b"x" * WRITE_BYTES)
    await turn()
    assert len(end.transport.written) == 1
    assert end.stream.waiting_bytes == 2 * (WRITE_BYTES + 4)


async def test_one_frame_of_any_size_waits_in_an_empty_buffer(end: End) -> None:
    end.stream.pause_writing()
    assert end.stream.send(b"x" * 5000)
    assert not end.stream.send(b"x")


async def test_too_large_a_frame_ends_the_stream_at_once(end: End) -> None:
    end.comes(framed(b"fine") + length_prefix(b"x" * 1001))
    assert end.transport.ended == "aborted"
    end.stream.connection_lost(None)
    assert end.ended == ["a frame of 1001 bytes, over 1000"]


async def test_nothing_is_given_after_the_end(end: End) -> None:
    end.stream.abort("enough")
    end.comes(framed(b"late"))
    assert end.frames == []
    assert not end.stream.send(b"x")


async def test_a_stream_with_nothing_to_say_says_that_it_lives(end: End) -> None:
    end.ticks(1)  # of the time before it began
    end.comes(ALIVE)
    end.ticks(1)
    assert end.transport.written == [ALIVE]
    end.stream.send(b"x")
    await turn()
    end.ticks(1)
    assert end.transport.written == [ALIVE, framed(b"x")]


async def test_silence_ends_the_stream(end: End) -> None:
    end.ticks(TICKS_PER_SILENCE)
    assert end.transport.ended == ""
    end.ticks(1)
    assert end.transport.ended == "aborted"


async def test_a_sign_of_life_is_enough(end: End) -> None:
    for _ in range(10):
        end.ticks(TICKS_PER_SILENCE)
        end.comes(ALIVE)
    assert end.transport.ended == ""


async def test_who_does_not_listen_does_not_complain_of_silence(end: End) -> None:
    end.stream.pause_reading()
    end.ticks(10 * TICKS_PER_SILENCE)
    assert end.transport.ended == ""


async def test_whoever_never_reads_is_given_up(end: End) -> None:
    end.stream.pause_writing()
    for _ in range(TICKS_PER_SILENCE * STUCK_SILENCES):
        assert end.transport.ended == ""
        end.comes(ALIVE)
        end.ticks(1)
    assert end.transport.ended == "aborted"


async def test_closing_waits_for_what_was_sent(end: End) -> None:
    end.stream.pause_writing()
    end.stream.send(b"last")
    end.stream.close()
    assert end.transport.ended == ""
    end.stream.resume_writing()
    assert end.transport.written == [framed(b"last")]
    assert end.transport.ended == "closed"


async def test_a_transport_is_told_to_close_once(end: End) -> None:
    """Asyncio's forgets what it carries when it is told again."""
    end.stream.send(b"last")
    end.stream.close()
    end.stream.close()
    await turn()
    assert end.transport.closes == 1


async def test_the_end_is_told_once_and_to_whoever_asks_later(end: End) -> None:
    end.stream.connection_lost(ConnectionResetError("reset"))
    late: list[str] = []
    end.stream.on_end(late.append)
    await turn()
    assert end.ended == late == ["reset"]
    assert await end.stream.until_ended() == "reset"
    assert end.stream.has_ended


async def test_the_protocol_before_learns_of_the_end() -> None:
    told: list[Exception | None] = []

    class Before(asyncio.BaseProtocol):
        @override
        def connection_lost(self, exc: Exception | None) -> None:
            told.append(exc)

    stream = FramedStream(BOUNDS, before=Before())
    stream.connection_made(FakeTransport())
    stream.connection_lost(None)
    assert told == [None]


async def test_an_empty_frame_is_our_own_mistake(end: End) -> None:
    with pytest.raises(ValueError, match="empty"):
        end.stream.send(b"")
