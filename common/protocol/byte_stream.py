"""Bytes both ways over one stream of frames, each direction with an end of its own."""

import asyncio
from collections import deque
from typing import Final

from common.errors import UnavailableError
from common.protocol.stream import FramedStream, StreamBounds

SILENCE_SECONDS: Final = 30.0
"""Without a sign of life before it is given up. Who takes nothing of what is sent has four times as long."""
PIECE_BYTES_MAX: Final = 64 * 1024
"""Of one frame."""
AHEAD_BYTES_MAX: Final = 256 * 1024
"""Received and not yet read before the other side is made to wait; as much waits to be sent before a writer waits."""
BOUNDS: Final = StreamBounds(
    frame_bytes_max=PIECE_BYTES_MAX + 1,
    buffer_bytes_max=AHEAD_BYTES_MAX,
    silence_seconds=SILENCE_SECONDS,
)
_DATA: Final = 0
_END: Final = b"\1"


class ByteStream:
    """One end. What comes before it is read waits, at the other side for the most part."""

    def __init__(self, stream: FramedStream) -> None:
        self._stream = stream
        self._pieces: deque[bytes] = deque()
        self._ahead_bytes = 0
        self._has_read_all = self._has_ended = False
        self._came, self._room = asyncio.Event(), asyncio.Event()
        stream.attach(self._take, ended=self._end, room=self._room.set)

    @property
    def has_come(self) -> bool:
        """Whether there is something to read already."""
        return bool(self._pieces)

    async def read(self) -> bytes:
        """What has come; b"" once the other side has said its last.

        Raises:
            UnavailableError: it is gone without having said so.
        """
        while not self._pieces:
            if self._has_read_all:
                return b""
            if self._has_ended:
                raise UnavailableError("the connection to the other node has broken")
            self._came.clear()
            await self._came.wait()
        piece = self._pieces.popleft()
        self._ahead_bytes -= len(piece)
        if self._ahead_bytes < AHEAD_BYTES_MAX:
            self._stream.resume_reading()
        return piece

    async def write(self, data: bytes) -> None:
        """Sends; waits while the other side is behind.

        Raises:
            UnavailableError: it is gone.
        """
        for start in range(0, len(data), PIECE_BYTES_MAX):
            await self._send(bytes((_DATA,)) + data[start : start + PIECE_BYTES_MAX])

    async def end(self) -> None:
        """Says that nothing more will be written; reading goes on. The other side being gone is fine."""
        if not self._has_ended:
            await self._send(_END)

    def close(self) -> None:
        """Ends both directions; what was written still goes out. May be called again."""
        self._stream.close()

    async def _send(self, frame: bytes) -> None:
        while not self._stream.send(frame):
            if self._has_ended or self._stream.has_ended:
                raise UnavailableError("the connection to the other node has broken")
            self._room.clear()
            await self._room.wait()

    def _take(self, frame: bytes) -> None:
        if frame == _END:
            self._has_read_all = True
        elif frame[0] == _DATA and not self._has_read_all:
            self._pieces.append(frame[1:])
            self._ahead_bytes += len(frame) - 1
            if self._ahead_bytes >= AHEAD_BYTES_MAX:
                self._stream.pause_reading()
        else:
            self._stream.abort("the other side does not speak of bytes")
        self._came.set()

    def _end(self, _why: str) -> None:
        self._has_ended = True
        self._came.set()
        self._room.set()
