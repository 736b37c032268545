"""Turns a request of HTTP/1.1 into a stream of frames, as web sockets do: the client's side and the server's.

The client is a protocol of its own that writes one request and reads the head of one answer: it knows whom it talks to
before it says anything, and the stream begins without a layer in between. The server's side takes the connection out of
aiohttp's hands, which goes on counting it and ends it when the application stops.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from aiohttp import web
from typing_extensions import override

from common.errors import InvalidInputError, UnavailableError
from common.pki.identity import MANAGER_NAME, PeerIdentity, peer_of
from common.protocol.stream import FramedStream, StreamBounds
from common.spoken import Spoken

DIAL_SECONDS: Final = 5.0
HEAD_BYTES_MAX: Final = 16 * 1024
"""Of an answer's status and headers."""
REFUSAL_BYTES_MAX: Final = 4 * 1024
"""Of what is read of an answer that refuses."""
TLS_SHUTDOWN_SECONDS: Final = 2.0
_END_OF_HEAD: Final = b"\r\n\r\n"
_SWITCHING: Final = 101


class UpgradeRefusedError(UnavailableError):
    """The other side answered, and does not want the stream."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text or f"refused with status {status}")
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where a stream is asked for, and what it is to be."""

    address: str
    """``host:port``"""
    path: str
    protocol: str
    """The name that goes into ``Upgrade``."""
    headers: Mapping[str, str] = field(default_factory=dict)
    server_name: str = MANAGER_NAME
    """The name that the other side's certificate must bear."""
    seconds_max: float = DIAL_SECONDS
    """From the first packet to the stream."""


def host_and_port(address: str) -> tuple[str, int]:
    """``host:port`` or ``[v6]:port``, taken apart.

    Raises:
        InvalidInputError: it is neither.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port[:6]) < 65536:  # noqa: PLR2004
        raise InvalidInputError(f"invalid address {address!r}", hint="host:port")
    return host.strip("[]"), int(port)


# -------------------------------------------------------------------------------------------- client


async def dial(
    door: Door,
    context: ssl.SSLContext,
    bounds: StreamBounds,
    check: Callable[[PeerIdentity | None], None],
) -> FramedStream:
    """Opens a stream. ``check`` is told who answers, before anything is said, and raises where that is the wrong one.

    Raises:
        UpgradeRefusedError: the answer is no.
        UnavailableError: nobody answers in time, or not as they should.
        OSError: there is no connection, or TLS does not come about (``ssl.SSLError``).
    """
    host, port = host_and_port(door.address)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(door.seconds_max):
            transport, protocol = await loop.create_connection(
                lambda: _Dialling(bounds),
                host,
                port,
                ssl=context,
                server_hostname=door.server_name,
                ssl_shutdown_timeout=TLS_SHUTDOWN_SECONDS,
            )
            try:
                check(peer_of(transport))
                transport.write(_request(door, host, port))
                return await protocol.stream
            except BaseException:
                transport.abort()
                raise
    except TimeoutError:
        raise UnavailableError(f"{door.address} does not answer in time") from None
    except UnicodeError:  # of the name's encoding: an address is what another node says
        raise UnavailableError(f"{door.address} cannot be the name of a host") from None


def _request(door: Door, host: str, port: int) -> bytes:
    named = f"[{host}]" if ":" in host else host
    lines = [
        f"POST {door.path} HTTP/1.1",
        f"Host: {named}:{port}",
        "Connection: Upgrade",
        f"Upgrade: {door.protocol}",
        "Content-Length: 0",
        *(f"{name}: {value}" for name, value in door.headers.items()),
    ]
    return "\r\n".join(lines).encode("ascii") + _END_OF_HEAD


class _Dialling(asyncio.Protocol):
    """Reads the head of the answer, then gives the connection to the stream."""

    def __init__(self, bounds: StreamBounds) -> None:
        self._bounds = bounds
        self._transport: asyncio.Transport | None = None
        self._read = bytearray()
        self.stream: asyncio.Future[FramedStream] = asyncio.get_running_loop().create_future()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    @override
    def data_received(self, data: bytes) -> None:
        if self.stream.done():
            return
        self._read += data
        head, end, rest = bytes(self._read).partition(_END_OF_HEAD)
        if not end:
            if len(head) > HEAD_BYTES_MAX:
                self._fail(UnavailableError("the answer has an endless head"))
            return
        status = _status(head)
        if status is None:
            self._fail(UnavailableError("the answer is not one of HTTP"))
        elif status == _SWITCHING:
            self._switch(rest)
        elif len(rest) >= min(_length(head), REFUSAL_BYTES_MAX):
            text = rest[:REFUSAL_BYTES_MAX].decode("utf-8", "replace").strip()
            self._fail(UpgradeRefusedError(status, text))

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        head, end, rest = bytes(self._read).partition(_END_OF_HEAD)
        status = _status(head) if end else None
        if status is not None:
            text = rest[:REFUSAL_BYTES_MAX].decode("utf-8", "replace").strip()
            self._fail(UpgradeRefusedError(status, text))
        else:
            self._fail(exc or UnavailableError("the other side has closed the connection"))

    def _switch(self, rest: bytes) -> None:
        if self._transport is None:
            return
        stream = FramedStream(self._bounds)
        self._transport.set_protocol(stream)
        stream.connection_made(self._transport)
        stream.take_early(rest)
        self.stream.set_result(stream)

    def _fail(self, error: Exception) -> None:
        if not self.stream.done():
            self.stream.set_exception(error)
            self.stream.exception()  # whoever dials may have given up: this is not forgotten, but unwanted
        if self._transport is not None:
            self._transport.abort()


def _status(head: bytes) -> int | None:
    version, _, rest = head.partition(b"\r\n")[0].partition(b" ")
    code = rest[:3]
    return int(code) if version == b"HTTP/1.1" and len(code) == 3 and code.isdigit() else None  # noqa: PLR2004


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            return int(value.strip()[:12])
    return REFUSAL_BYTES_MAX


# -------------------------------------------------------------------------------------------- server


def accept(request: web.Request, protocol: str, bounds: StreamBounds) -> FramedStream:
    """Answers 101 and takes the connection over. The handler stays until the end: ``return await serve(stream)``.

    Raises:
        InvalidInputError: the request does not ask for this, or has a body.
        UnavailableError: the client is gone.
    """
    wanted = {word.strip().lower() for word in request.headers.get("Connection", "").split(",")}
    if "upgrade" not in wanted or request.headers.get("Upgrade", "") != protocol:
        raise InvalidInputError(f"this path is for streams of {protocol}")
    if request.can_read_body:
        raise InvalidInputError("a request for a stream has no body")
    transport = request.transport
    if transport is None or transport.is_closing():
        raise UnavailableError("the client is gone")
    stream = FramedStream(bounds, before=transport.get_protocol())
    transport.write(
        f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n".encode()
    )
    transport.set_protocol(stream)
    stream.connection_made(transport)
    return stream


async def serve(stream: FramedStream) -> web.StreamResponse:
    """What a handler that has accepted a stream returns: comes back when the stream has ended."""
    try:
        await stream.until_ended()
    finally:
        stream.abort("the listener stops")
    return Spoken()
