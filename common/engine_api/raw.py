"""The connection of a request in our own hands: what comes on it, and what goes out, is ours alone."""

import asyncio
from collections import deque
from typing import Final

from aiohttp import web
from typing_extensions import override

from common.errors import UnavailableError

AHEAD_BYTES_MAX: Final = 256 * 1024
"""Received and not read yet before the client is made to wait."""


class RawConnection:
    """Taken over from a request whose body has been read. The handler must return what ``end`` gives."""

    def __init__(self, request: web.BaseRequest) -> None:
        """Takes it over.

        Raises:
            UnavailableError: the client is gone.
        """
        transport = request.transport
        if transport is None or transport.is_closing():
            raise UnavailableError("the client is gone")
        self._transport = transport
        self._protocol = _Taken(self._transport)
        self._transport.set_protocol(self._protocol)

    async def read(self) -> bytes:
        """What the client has sent; b"" once it has said its last.

        Raises:
            ConnectionResetError: it is gone.
        """
        return await self._protocol.read()

    async def write(self, data: bytes) -> None:
        """Sends; waits while the client is behind.

        Raises:
            ConnectionResetError: it is gone.
        """
        if self._protocol.is_lost:
            raise ConnectionResetError("the client is gone")
        self._transport.write(data)
        await self._protocol.drained()

    async def end(self) -> web.StreamResponse:
        """Ends it once everything has gone out, and gives what the handler returns."""
        self._transport.close()
        await self._protocol.lost()
        return _Answered()


class _Taken(asyncio.Protocol):
    """Reads ahead a little; tells the protocol of before, which counts connections, of the end."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport, self._before = transport, transport.get_protocol()
        self._pieces: deque[bytes] = deque()
        self._bytes = 0
        self._has_ended = self.is_lost = False
        self._came, self._room, self._gone = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._room.set()
        transport.resume_reading()  # aiohttp may have paused it

    async def read(self) -> bytes:
        while not self._pieces:
            if self._has_ended:
                return b""
            if self.is_lost:
                raise ConnectionResetError("the client is gone")
            self._came.clear()
            await self._came.wait()
        piece = self._pieces.popleft()
        self._bytes -= len(piece)
        if self._bytes < AHEAD_BYTES_MAX and not self.is_lost:
            self._transport.resume_reading()
        return piece

    async def drained(self) -> None:
        await self._room.wait()
        if self.is_lost:
            raise ConnectionResetError("the client is gone")

    async def lost(self) -> None:
        await self._gone.wait()

    @override
    def data_received(self, data: bytes) -> None:
        self._pieces.append(data)
        self._bytes += len(data)
        if self._bytes >= AHEAD_BYTES_MAX:
            self._transport.pause_reading()
        self._came.set()

    @override
    def eof_received(self) -> bool:
        self._has_ended = True
        self._came.set()
        return True  # what we have to say is still to be said

    @override
    def pause_writing(self) -> None:
        self._room.clear()

    @override
    def resume_writing(self) -> None:
        self._room.set()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        for event in (self._came, self._room, self._gone):
            event.set()
        self._before.connection_lost(exc)


class _Answered(web.StreamResponse):
    """An answer that has been given already."""

    @override
    async def prepare(self, request: web.BaseRequest) -> None:
        return None

    @override
    async def write_eof(self, data: bytes = b"") -> None:
        return None
