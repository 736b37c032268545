"""A stream of frames over one connection: bounded both ways, and ended when the other side falls silent.

It is an asyncio protocol and not a pair of aiohttp or asyncio streams: what comes is handled in the turn of the loop in
which it comes, without waking a task. And it is a buffered one: TLS reads for the other kind by allocating 256 KiB, and
shrinking them, for every few bytes that come, which costs as much as all the rest of a round trip.
"""

import asyncio
import contextlib
import socket
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from typing_extensions import override

from common.protocol.framing import (
    ALIVE,
    LENGTH_BYTES,
    FrameSplitter,
    FrameTooLargeError,
    length_prefix,
)

WRITE_BYTES: Final = 256 * 1024
"""Frames are joined up to this much for one write, which is also what the transport may hold before it is full."""
READ_BYTES: Final = 256 * 1024
"""Read at a time."""
TICKS_PER_SILENCE: Final = 3
"""How often within ``silence_seconds`` a stream that has nothing to say says that it lives."""
STUCK_SILENCES: Final = 4
"""Times ``silence_seconds`` for which the other side may take nothing of what waits for it."""
CLOSE_SECONDS: Final = 2.0
"""How long what was sent before ``close`` may take to leave."""


class _ReadBuffer(threading.local):
    """What all streams of a thread's loop read into: its content is taken out before anything else is read."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(READ_BYTES))


_read_buffer = _ReadBuffer()


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamBounds:
    """What a stream holds, and for how long it waits."""

    frame_bytes_max: int
    """Of one frame that comes in; who sends keeps to the bound of the other side."""
    buffer_bytes_max: int
    """Of frames that wait to go out (or of one frame, whatever its size), beside what the transport holds, which is
    about twice ``WRITE_BYTES``."""
    silence_seconds: float
    """After which the other side is taken for gone."""


class FramedStream(asyncio.BufferedProtocol):
    """One end. What comes before ``attach`` waits, in the kernel for the most part."""

    def __init__(self, bounds: StreamBounds, before: asyncio.BaseProtocol | None = None) -> None:
        """A stream that takes over from the protocol ``before``, which learns of the connection's end, too."""
        self._bounds, self._before = bounds, before
        self._loop = asyncio.get_running_loop()
        self._splitter = FrameSplitter(bounds.frame_bytes_max)
        self._early: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._receive: Callable[[bytes], None] | None = None
        self._on_room: Callable[[], None] | None = None
        self._on_end: list[Callable[[str], None]] = []
        self._out: deque[bytes] = deque()
        self._out_bytes = 0
        self._is_full = self._is_flush_due = self._is_reading_paused = False
        self._owes_room = False
        """Whether frames waited, or were refused, since room was told of."""
        self._frames_of_turn, self._is_busy = 0, False
        self._is_closing = self._is_told_to_close = False
        self._heard = self._spoke = True
        self._silent_ticks = self._stuck_ticks = 0
        self._tick: asyncio.TimerHandle | None = None
        self._ended: asyncio.Future[str] = self._loop.create_future()
        self._why = ""

    # ----------------------------------------------------------------------------------- using it

    @property
    def transport(self) -> asyncio.Transport | None:
        """What carries it; None once it has ended."""
        return self._transport

    @property
    def has_ended(self) -> bool:
        """Whether the connection is gone."""
        return self._ended.done()

    @property
    def waiting_bytes(self) -> int:
        """Of frames that wait to go out."""
        return self._out_bytes

    def attach(
        self,
        receive: Callable[[bytes], None],
        *,
        ended: Callable[[str], None],
        room: Callable[[], None] | None = None,
    ) -> None:
        """From now on gives each frame to ``receive`` (never within a call of this class's methods).

        ``ended`` is called once, with the reason; ``room`` whenever frames that waited have gone out.
        """
        self._receive, self._on_room = receive, room
        self.on_end(ended)
        self._loop.call_soon(self._begin)

    def on_end(self, ended: Callable[[str], None]) -> None:
        """Has ``ended`` called with the reason, soon if the stream has ended already."""
        if self._ended.done():
            self._loop.call_soon(ended, self._ended.result())
        else:
            self._on_end.append(ended)

    def send(self, frame: bytes) -> bool:
        """Sends a frame; False: it is gone, or too much waits.

        The only frame of a turn of the loop goes out at once, before whatever else the turn begins (a thread that
        writes to a disk competes with TLS for the interpreter). Where there were several, those of the next turn go
        out together at its end.

        Raises:
            ValueError: the frame is empty: our own mistake.
        """
        if not frame:
            raise ValueError("an empty frame cannot be sent")
        if self._transport is None or self._is_closing:
            return False
        size = LENGTH_BYTES + len(frame)
        if self._out and self._out_bytes + size > self._bounds.buffer_bytes_max:
            self._owes_room = True
            return False
        self._out.append(length_prefix(frame))
        self._out.append(frame)
        self._out_bytes += size
        self._frames_of_turn += 1
        if not self._is_flush_due and not self._is_full:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)
            if not self._is_busy:
                self._write()
        self._owes_room = self._owes_room or bool(self._out)
        return True

    def pause_reading(self) -> None:
        """Lets what comes wait at the other side; what has been read already may still be given."""
        if self._transport is not None and not self._is_reading_paused:
            self._is_reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Goes on reading."""
        if self._transport is not None and self._is_reading_paused:
            self._is_reading_paused = False
            self._transport.resume_reading()

    def close(self) -> None:
        """Ends the stream once everything that was sent has gone out, or ``CLOSE_SECONDS`` have passed."""
        if self._transport is None or self._is_closing:
            return
        self._is_closing = True
        self._why = self._why or "closed"
        self._loop.call_later(CLOSE_SECONDS, self.abort, "closed")
        self._close_when_empty()

    def abort(self, why: str) -> None:
        """Ends the stream at once."""
        self._is_closing = True
        self._why = self._why or why
        if self._transport is not None:
            # The TLS transport of asyncio knows nothing of its connection any more once it was closed twice.
            with contextlib.suppress(AttributeError):
                self._transport.abort()

    async def until_ended(self) -> str:
        """Waits for the end, and says why."""
        return await asyncio.shield(self._ended)

    # ----------------------------------------------------------------------- called by the transport

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_BYTES)
        prepare_socket(self._transport, self._bounds.silence_seconds)
        self.pause_reading()
        self._tick = self._loop.call_later(
            self._bounds.silence_seconds / TICKS_PER_SILENCE, self._on_tick
        )

    @override
    def get_buffer(self, sizehint: int) -> memoryview:
        return _read_buffer.view

    @override
    def buffer_updated(self, nbytes: int) -> None:
        with _read_buffer.view[:nbytes] as data:
            if self._receive is None:
                self._early.append(bytes(data))
            else:
                self._take(data)

    def _take(self, data: bytes | memoryview) -> None:
        self._heard = True
        try:
            frames = self._splitter.feed(data)
        except FrameTooLargeError as error:
            self.abort(error.message)
            return
        for frame in frames:
            if self._is_closing or self._receive is None:
                return
            self._receive(frame)

    @override
    def pause_writing(self) -> None:
        self._is_full = True

    @override
    def resume_writing(self) -> None:
        self._is_full = False
        self._stuck_ticks = 0
        self._flush()

    @override
    def eof_received(self) -> None:
        self._why = self._why or "the other side has closed the stream"

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._tick is not None:
            self._tick.cancel()
        self._out.clear()
        self._out_bytes = 0
        reason = self._why or (str(exc) if exc else "the other side has closed the stream")
        if not self._ended.done():
            self._ended.set_result(reason)
        for ended in self._on_end:
            ended(reason)
        self._on_end.clear()
        if self._before is not None:
            self._before.connection_lost(exc)
            self._before = None

    # ------------------------------------------------------------------------------ how it does that

    def take_early(self, data: bytes) -> None:
        """Bytes that came behind the head of the answer that opened the stream."""
        if data:
            self._early.append(data)

    def _begin(self) -> None:
        early, self._early = self._early, []
        for data in early:
            self._take(data)
        self.resume_reading()

    def _flush(self) -> None:
        self._is_flush_due = False
        self._is_busy, self._frames_of_turn = self._frames_of_turn > 1, 0
        if self._transport is None:
            return
        if self._out:
            self._write()
        self._close_when_empty()
        if self._owes_room and self._on_room is not None:
            self._owes_room = False
            self._on_room()

    def _close_when_empty(self) -> None:
        if self._is_closing and not self._out and not self._is_told_to_close:
            self._is_told_to_close = True
            if self._transport is not None:
                self._transport.close()

    def _write(self) -> None:
        assert self._transport is not None, "the callers have looked"  # noqa: S101 - our own mistake
        self._spoke = True
        while self._out and not self._is_full:
            parts, size = [], 0
            while self._out and size < WRITE_BYTES:
                parts.append(self._out.popleft())
                size += len(parts[-1])
            self._out_bytes -= size
            self._transport.write(b"".join(parts))

    def _on_tick(self) -> None:
        """Says that we live if nothing else did; ends the stream when the other side does not say it, either."""
        may_be_silent = self._is_reading_paused or self._heard
        self._silent_ticks = 0 if may_be_silent else self._silent_ticks + 1
        self._stuck_ticks = self._stuck_ticks + 1 if self._is_full else 0
        if self._silent_ticks >= TICKS_PER_SILENCE:
            self.abort("nothing was heard of the other side in time")
            return
        if self._stuck_ticks >= TICKS_PER_SILENCE * STUCK_SILENCES:
            self.abort("the other side does not read what it is sent")
            return
        if not self._spoke and not self._is_full and self._transport is not None:
            self._transport.write(ALIVE)
        self._heard = self._spoke = False
        self._tick = self._loop.call_later(
            self._bounds.silence_seconds / TICKS_PER_SILENCE, self._on_tick
        )


def prepare_socket(transport: asyncio.BaseTransport, silence_seconds: float) -> None:
    """Sends small frames at once, and has the kernel give up on a machine that does not acknowledge in time."""
    found = transport.get_extra_info("socket")
    if found is None or found.family not in (socket.AF_INET, socket.AF_INET6):
        return
    milliseconds = int(silence_seconds * 1000)
    with contextlib.suppress(OSError):  # the connection may be gone already
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
