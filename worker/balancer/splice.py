"""Two connections joined to one: bytes, ends and resets of each side reach the other, at the pace of the slower."""

import asyncio
import socket
import struct
from typing import cast

from typing_extensions import override

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def reset(connection: socket.socket) -> None:
    """Ends a connection so that its other side sees an error rather than an end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    connection.close()


async def splice(one: socket.socket, other: socket.socket) -> None:
    """Joins two connected sockets until both directions have ended; it owns them from now on."""
    loop = asyncio.get_running_loop()
    left, right = _Side(), _Side()
    left.peer, right.peer = right, left
    try:
        await loop.create_connection(lambda: left, sock=one)
        await loop.create_connection(lambda: right, sock=other)
        left.pass_on_early()
        right.pass_on_early()
        left.begin()
        right.begin()
        await left.lost.wait()
        await right.lost.wait()
    finally:
        left.abort()
        right.abort()
        one.close()
        other.close()


class _Side(asyncio.Protocol):
    """One of the two connections. What arrives before the other side is there waits in ``_early``."""

    peer: "_Side"

    def __init__(self) -> None:
        self.lost = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._has_begun = False
        self._early = bytearray()
        self._has_ended = False

    def pass_on_early(self) -> None:
        """The other side is there: it gets what has come so far."""
        self._has_begun = True
        if self._early:
            self.peer.write(bytes(self._early))
            self._early.clear()

    def begin(self) -> None:
        """The other side has got all that came early: go on from here."""
        if self._has_ended:
            self.peer.write_end()
        elif self._transport is not None and not self.lost.is_set():
            self._transport.resume_reading()
        if self.lost.is_set():
            self.peer.close()

    def write(self, data: bytes) -> None:
        """Sends to this side."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def write_end(self) -> None:
        """This side will be sent nothing more; when it has ended too, that is all."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._has_ended:
            self._transport.close()
            self.peer.close()
        else:
            self._transport.write_eof()

    def close(self) -> None:
        """Closes this side when what was written has been sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Resets this side unless it has ended in good order."""
        if self._transport is None or self.lost.is_set():
            return
        connection = self._transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()

    def pause(self, *, paused: bool) -> None:
        """Stops or resumes reading from this side."""
        if self._transport is None or self._transport.is_closing() or self._has_ended:
            return
        if paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if not self._has_begun:
            self._transport.pause_reading()

    @override
    def data_received(self, data: bytes) -> None:
        if self._has_begun:
            self.peer.write(data)
        else:
            self._early += data

    @override
    def eof_received(self) -> bool:
        self._has_ended = True
        if self._has_begun:
            self.peer.write_end()
        return True

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
        if exc is not None:
            self.peer.abort()
        elif self._has_begun:
            self.peer.close()

    @override
    def pause_writing(self) -> None:
        self.peer.pause(paused=True)

    @override
    def resume_writing(self) -> None:
        self.peer.pause(paused=False)
