"""Takes a connection out of HTTP's hands, as ``docker attach`` and ``docker exec`` want it: raw bytes both ways.

```
 client                                          handler
   POST …/attach  (Upgrade: tcp)  ──▶  hijack(request, …)
   ◀── 101 UPGRADED (or 200 OK without the header)
   input …                        ──▶  read()        b"" once the client has said that there is no more
   ◀── output …                        write()       waits while the client does not read
   ◀── end                             end()         what was written still arrives, then the connection closes
```

Either direction may end before the other, over TLS too (see ``tls_input``): Docker's client says the end of its input,
and goes on reading.
aiohttp goes on counting the connection, and ends it when the application stops.
"""

import asyncio
import select
import socket
import threading
from contextlib import suppress
from typing import Final

from aiohttp import web
from typing_extensions import override

from common.engine_api.tls_input import TlsInput
from common.errors import UnavailableError
from common.spoken import Spoken

INPUT_BYTES_MAX: Final = 256 * 1024
"""Of a client's input that wait for the process; the client waits beyond that (what one read brings comes on top)."""
OUTPUT_BYTES_MAX: Final = 256 * 1024
"""Written and not yet taken by the client; who writes waits beyond that."""
READ_BYTES: Final = 64 * 1024
LINGER_SECONDS: Final = 5.0
"""How long a client that has everything may take to close the connection; then it is closed."""
UNTAKEN_SECONDS_MAX: Final = 300.0
"""How long a client may take nothing of what was written before the end; then it is lost."""
LOOK_SECONDS: Final = 1.0
"""How often it is looked whether the client of a connection that is silent, or is not read from, is still there."""
_FIRST_LOOK_SECONDS: Final = 0.01
KEEPALIVE_IDLE_SECONDS: Final = 30
KEEPALIVE_PROBES: Final = 4


class _ReadBuffer(threading.local):
    """What all connections of a thread's loop read into: its content is taken out before anything else is read."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(READ_BYTES))


_read_buffer = _ReadBuffer()


class Hijacked(asyncio.BufferedProtocol):
    """The connection, once it is raw."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport, self._before = transport, transport.get_protocol()
        self._loop = asyncio.get_running_loop()
        self._input = bytearray()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._gone = asyncio.Event()
        self._has_input_ended = self._is_reading_paused = self._is_ending = False
        self._is_tls = transport.get_extra_info("sslcontext") is not None
        self._tls: TlsInput | None = None
        self._look: asyncio.TimerHandle | None = None

    def begin(self, head: bytes) -> None:
        """Says the head of the answer, and takes over."""
        self._transport.set_write_buffer_limits(high=OUTPUT_BYTES_MAX)
        if head:
            self._transport.write(head)
        self._transport.set_protocol(self)
        if self._is_tls:
            self._tls = TlsInput(self._transport, self._take, self._end_input)
        self._resume_reading()
        _watch_over(self._transport)
        self._look = self._loop.call_later(LOOK_SECONDS, self._look_for_client)

    # ------------------------------------------------------------------------------------- using it

    @property
    def is_gone(self) -> bool:
        """Whether the connection has ended."""
        return self._gone.is_set()

    async def read(self) -> bytes:
        """What the client has sent; b"" once it has said that there is no more, or is gone."""
        while not self._input and not self._has_input_ended and not self.is_gone:
            self._news.clear()
            await self._news.wait()
        data = bytes(self._input)
        self._input.clear()
        if self._is_reading_paused and not self.is_gone:
            self._is_reading_paused = False
            self._resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        """Sends to the client, and waits while it does not read.

        Raises:
            ConnectionResetError: it is gone.
        """
        if not self.is_gone:
            self._transport.write(data)
            await self._room.wait()
        if self.is_gone:
            raise ConnectionResetError("the client is gone")

    async def end(self) -> None:
        """Lets what was written arrive, then closes; what the client says meanwhile is dropped.

        A connection that is closed while the other side still speaks is reset, and the other side may then lose what it
        has not read.
        """
        self._is_ending = True
        self._input.clear()
        await self._until_taken()
        if self.is_gone:
            return
        if self._tls is not None:
            self._tls.stop()
            self._transport.close()
        elif self._has_input_ended:
            self._transport.close()
        else:
            self._transport.resume_reading()
            self._transport.write_eof()
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                await self._gone.wait()
        except TimeoutError:
            self._transport.abort()

    async def _until_taken(self) -> None:
        """Waits while the client takes what was written, however slowly: who pages through output stops often."""
        left, untaken_seconds, pause = 0, 0.0, _FIRST_LOOK_SECONDS
        while not self.is_gone and (size := self._transport.get_write_buffer_size()):
            untaken_seconds = untaken_seconds + pause if size == left else 0.0
            if untaken_seconds >= UNTAKEN_SECONDS_MAX:
                self._transport.abort()
                await self._gone.wait()
                return
            left, pause = size, min(2 * pause, LOOK_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._gone.wait()

    def abort(self) -> None:
        """Closes at once."""
        if not self.is_gone:
            self._transport.abort()

    async def until_gone(self) -> None:
        """Waits for the end of the connection."""
        await self._gone.wait()

    # ------------------------------------------------------------------------ called by the transport

    @override
    def get_buffer(self, sizehint: int) -> memoryview:
        return _read_buffer.view

    @override
    def buffer_updated(self, nbytes: int) -> None:
        if not self._is_ending:
            self._take(_read_buffer.view[:nbytes])

    @override
    def eof_received(self) -> bool:
        """Keeps the connection open, unless we have nothing more to say either."""
        self._end_input()
        return not (self._is_ending or self._is_tls)

    @override
    def pause_writing(self) -> None:
        self._room.clear()

    @override
    def resume_writing(self) -> None:
        self._room.set()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._gone.set()
        self._news.set()
        self._room.set()
        if self._look is not None:
            self._look.cancel()
        if self._tls is not None:
            self._tls.stop()
        self._before.connection_lost(exc)

    # -------------------------------------------------------------------------------- how it does that

    def _take(self, data: bytes | memoryview) -> None:
        self._input += data
        self._news.set()
        if len(self._input) >= INPUT_BYTES_MAX and not self._is_reading_paused:
            self._is_reading_paused = True
            if self._tls is not None:
                self._tls.pause()
            else:
                self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._tls is not None:
            self._tls.resume()
        else:
            self._transport.resume_reading()

    def _end_input(self) -> None:
        self._has_input_ended = True
        self._news.set()

    def _look_for_client(self) -> None:
        """A client that has left without a word is not seen by asyncio once its input has ended, or waits."""
        events = _events(self._transport)
        if events & (select.POLLHUP | select.POLLERR):
            self._transport.abort()
            return
        if events & select.POLLRDHUP and self._tls is not None:  # who speaks TLS has left then
            if self._has_input_ended and not self._input:
                self._transport.abort()
                return
            self._tls.drained()
        self._look = self._loop.call_later(LOOK_SECONDS, self._look_for_client)


def _events(transport: asyncio.Transport) -> int:
    """What has become of the connection, by poll(2)."""
    found = transport.get_extra_info("socket")
    if found is None or found.fileno() < 0:
        return select.POLLHUP
    poll = select.poll()
    poll.register(found.fileno(), select.POLLRDHUP)
    return sum(event for _, event in poll.poll(0))


def _watch_over(transport: asyncio.Transport) -> None:
    """Sends small pieces at once, and has the kernel ask a silent machine whether it is still there."""
    found = transport.get_extra_info("socket")
    if found is None or found.family not in (socket.AF_INET, socket.AF_INET6):
        return
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_SECONDS)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_IDLE_SECONDS)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)


def wants_upgrade(request: web.Request) -> bool:
    """Whether the client asks for 101: one that does not gets 200 and the same bytes."""
    words = {word.strip().lower() for word in request.headers.get("Connection", "").split(",")}
    return "upgrade" in words and request.headers.get("Upgrade", "").lower() == "tcp"


def hijack(request: web.Request, *, content_type: str) -> Hijacked:
    """Answers, and takes the connection over. Its body must have been read.

    The handler stays until the end, and returns ``spoken()``.

    Raises:
        UnavailableError: the client is gone.
    """
    lines = ["HTTP/1.1 200 OK", f"Content-Type: {content_type}"]
    if wants_upgrade(request):
        lines = ["HTTP/1.1 101 UPGRADED", *lines[1:], "Connection: Upgrade", "Upgrade: tcp"]
    return take_over(request, "\r\n".join(lines).encode("ascii") + b"\r\n\r\n")


def take_over(request: web.Request, head: bytes = b"") -> Hijacked:
    """The same with another head of the answer; without one, whoever takes it over writes that, too.

    Raises:
        UnavailableError: the client is gone.
    """
    transport = request.transport
    if transport is None or transport.is_closing():
        raise UnavailableError("the client is gone")
    connection = Hijacked(transport)
    connection.begin(head)
    return connection


def spoken() -> web.StreamResponse:
    """What a handler returns that has spoken with a client over a connection of its own."""
    return Spoken()
