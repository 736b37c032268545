"""Lets connections in at a bounded pace: so many at once, so many handshakes under way, none that takes for ever."""

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Never

from aiohttp import web

from common.keeper import Keeper

BACKLOG: Final = 1024
"""Connections that the kernel keeps for us: thousands of agents dial a new leader at once, and who finds no place there
tries again only a second later."""
ACCEPT_PAUSE_SECONDS: Final = 0.5
"""After the kernel could not give us a connection, for want of file descriptors or memory."""
TLS_SHUTDOWN_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptBounds:
    """How many, and how long."""

    connections_max: int
    """At once; a further one is closed as soon as it has come."""
    handshakes_max: int
    """Connections that are not let in yet; further ones wait in the kernel's backlog."""
    handshakes_per_address_max: int
    """Of one client address, so that one client cannot keep all others out; a further one is closed."""
    handshake_seconds: float
    """How long a client may take for TLS."""


class Acceptor:
    """Accepts the connections of one listening socket for an aiohttp server (or any factory of protocols)."""

    def __init__(
        self,
        make_protocol: Callable[[], asyncio.Protocol],
        count_open: Callable[[], int],
        bounds: AcceptBounds,
        log: logging.Logger,
        *,
        admit: Callable[[asyncio.Transport], bool] | None = None,
    ) -> None:
        """``count_open`` says how many connections there are; ``admit`` looks at each when TLS has come about."""
        self._make_protocol, self._count_open = make_protocol, count_open
        self._bounds, self._log, self._admit = bounds, log, admit
        self._shaking: Counter[str] = Counter()
        self._come: set[socket.socket] = set()
        """Connections whose letting in has not begun."""

    async def run(
        self,
        bound: socket.socket,
        context: Callable[[], ssl.SSLContext] | None,
        keeper: Keeper,
    ) -> Never:
        """Accepts for ever; each handshake is work of ``keeper``. ``context`` is asked anew for each connection."""
        places = asyncio.Semaphore(self._bounds.handshakes_max)
        while True:
            await places.acquire()
            try:
                connection, address = bound.accept()
            except BlockingIOError:
                # Only now: a turn of a busy loop is to take all that have come, not one.
                places.release()
                await _until_readable(bound)
                continue
            except OSError as error:
                places.release()
                self._log.warning("cannot accept a connection", extra={"reason": error.strerror})
                await asyncio.sleep(ACCEPT_PAUSE_SECONDS)
                continue
            connection.setblocking(False)  # noqa: FBT003 - as the socket has it
            host = str(address[0]) if isinstance(address, tuple) else ""
            self._come.add(connection)
            letting_in = keeper.spawn(
                self._let_in(connection, host, context() if context is not None else None)
            )
            letting_in.add_done_callback(partial(self._finish, connection, places))

    def _finish(
        self, connection: socket.socket, places: asyncio.Semaphore, _done: asyncio.Task[None]
    ) -> None:
        places.release()
        if connection in self._come:  # we stop, and it was not even begun
            self._come.discard(connection)
            connection.close()

    async def _let_in(
        self, connection: socket.socket, host: str, context: ssl.SSLContext | None
    ) -> None:
        self._come.discard(connection)
        if self._count_open() >= self._bounds.connections_max:
            most = self._bounds.connections_max
            self._log.warning("too many connections: one was closed", extra={"most": most})
            connection.close()
            return
        if host and self._shaking[host] >= self._bounds.handshakes_per_address_max:
            connection.close()
            return
        self._shaking[host] += 1
        try:
            await self._shake_hands(connection, context)
        except OSError as error:
            self._log.info("a client was not let in", extra={"reason": error, "client": host})
            connection.close()
        finally:
            self._shaking[host] -= 1
            if not self._shaking[host]:
                del self._shaking[host]

    async def _shake_hands(self, connection: socket.socket, context: ssl.SSLContext | None) -> None:
        is_tls = context is not None
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
            self._make_protocol,
            connection,
            ssl=context,
            ssl_handshake_timeout=self._bounds.handshake_seconds if is_tls else None,
            ssl_shutdown_timeout=TLS_SHUTDOWN_SECONDS if is_tls else None,
        )
        if self._admit is not None and not self._admit(transport):
            transport.abort()


async def _until_readable(bound: socket.socket) -> None:
    """Waits for a connection. Taken out by ``sock_accept``, one would be lost when that is cancelled meanwhile."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(bound, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(bound)


def bounded_runner(
    application: web.Application,
    *,
    keepalive_seconds: float,
    shutdown_seconds: float,
    header_bytes_max: int,
    headers_max: int,
) -> web.AppRunner:
    """What serves an application on connections that an ``Acceptor`` lets in.

    Args:
        application: what answers; a handler is cancelled when its client goes.
        keepalive_seconds: how long a connection may take to send the head of its first or next request.
        shutdown_seconds: how long requests under way may go on when it stops.
        header_bytes_max: of the first line, and of each header.
        headers_max: of one request.
    """
    return web.AppRunner(
        application,
        handle_signals=False,
        access_log=None,
        keepalive_timeout=keepalive_seconds,
        shutdown_timeout=shutdown_seconds,
        max_line_size=header_bytes_max,
        max_field_size=header_bytes_max,
        max_headers=headers_max,
        handler_cancellation=True,
    )


def bound_tcp(address: str) -> socket.socket:
    """A socket bound to ``host:port``, not listening yet.

    Raises:
        OSError: the address is taken or cannot be had.
    """
    host, _, port = address.rpartition(":")
    found = socket.getaddrinfo(
        host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    family, kind, protocol, _, place = found[0]
    server = socket.socket(family, kind, protocol)
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(place)
    except OSError:
        server.close()
        raise
    return server


def begin_to_listen(bound: socket.socket) -> None:
    """Has the kernel take connections for a bound socket.

    Raises:
        OSError: another one listens there already.
    """
    bound.settimeout(0)
    bound.listen(BACKLOG)
