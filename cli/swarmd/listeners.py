"""Where the API listens: unix sockets and TCP with mutual TLS."""

import asyncio
import logging
import os
import socket
import ssl
from pathlib import Path
from types import TracebackType
from typing import Never, Self

from aiohttp import web

from cli.swarmd.options import Options
from common.errors import SystemFailureError
from common.keeper import Keeper

SOCKET_MODE = 0o660
BACKLOG = 128
SHUTDOWN_SECONDS = 2.0
"""How long requests under way may go on when swarmd stops; streams that never end are cut off after it."""
KEEPALIVE_SECONDS = 75.0
"""How long a connection may take to send the head of its first or next request."""
MAX_HEADER_BYTES = 32 * 1024
"""Of the first line, and of each header."""
MAX_HEADERS = 128
CONNECTIONS_MAX = 512
"""Clients connected at once, of all addresses; a further one is closed as soon as it has come."""
HANDSHAKES_MAX = 64
"""Connections of one address that are not let in yet; further ones wait in the kernel's backlog."""
HANDSHAKE_SECONDS = 10.0
"""How long a client may take for the TLS handshake."""
ACCEPT_PAUSE_SECONDS = 0.5
"""After the kernel could not give us a connection, for want of file descriptors or memory."""

log = logging.getLogger("swarmd.api")


class Listeners:
    """All addresses at which one application answers. An async context; leaving it ends every connection."""

    def __init__(self, application: web.Application, options: Options) -> None:
        self._options = options
        self._runner = web.AppRunner(
            application,
            handle_signals=False,
            access_log=None,
            keepalive_timeout=KEEPALIVE_SECONDS,
            shutdown_timeout=SHUTDOWN_SECONDS,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            max_headers=MAX_HEADERS,
            handler_cancellation=True,
        )
        self._keeper = Keeper()
        self._bound: list[tuple[str, socket.socket]] = []

    async def __aenter__(self) -> Self:
        """Listens everywhere, or nowhere.

        Raises:
            SystemFailureError: an address is taken or cannot be had.
        """
        await self._keeper.open()
        try:
            await self._runner.setup()
            for address in self._options.listeners:
                self._listen(address)
        except BaseException as error:
            await self._close(error)
            raise
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Takes no more requests; those under way get ``SHUTDOWN_SECONDS``."""
        await self._close(error)

    async def _close(self, error: BaseException | None) -> None:
        try:
            await self._keeper.close(error)
        finally:
            self._unbind()
            await self._runner.cleanup()

    def _unbind(self) -> None:
        for address, bound in self._bound:
            bound.close()
            if address.startswith("unix://"):
                Path(address.removeprefix("unix://")).unlink(missing_ok=True)
        self._bound.clear()

    def _listen(self, address: str) -> None:
        scheme, _, rest = address.partition("://")
        context = None
        try:
            if scheme == "unix":
                bound = _bound_unix(Path(rest))
            else:
                context = _tls(self._options)
                bound = _bound_tcp(rest)
            self._bound.append((address, bound))
            bound.settimeout(0)
            bound.listen(BACKLOG)
        except OSError as error:
            raise SystemFailureError(
                f"cannot listen on {address}: {error.strerror or error}"
            ) from error
        self._keeper.spawn(self._accept(bound, context))

    async def _accept(self, bound: socket.socket, context: ssl.SSLContext | None) -> Never:
        loop = asyncio.get_running_loop()
        places = asyncio.Semaphore(HANDSHAKES_MAX)
        while True:
            await places.acquire()
            try:
                connection, _ = await loop.sock_accept(bound)
            except OSError as error:
                places.release()
                log.warning("cannot accept a connection", extra={"reason": error.strerror})
                await asyncio.sleep(ACCEPT_PAUSE_SECONDS)
                continue
            letting_in = self._keeper.spawn(self._let_in(connection, context))
            letting_in.add_done_callback(lambda _: places.release())

    async def _let_in(self, connection: socket.socket, context: ssl.SSLContext | None) -> None:
        server = self._runner.server
        assert server is not None, "the runner was set up"  # noqa: S101 - our own mistake
        if len(server.connections) >= CONNECTIONS_MAX:
            log.warning("too many connections: one was closed", extra={"most": CONNECTIONS_MAX})
            connection.close()
            return
        seconds = HANDSHAKE_SECONDS if context is not None else None
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                server, connection, ssl=context, ssl_handshake_timeout=seconds
            )
        except OSError as error:
            log.info("a client was not let in", extra={"reason": error})
            connection.close()


def _bound_unix(path: Path) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o711)
    path.unlink(missing_ok=True)  # we hold the lock of exec-root: whoever made it is gone
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o777 & ~SOCKET_MODE)
    try:
        server.bind(str(path))
    except OSError:
        server.close()
        raise
    finally:
        os.umask(before)
    return server


def _bound_tcp(address: str) -> socket.socket:
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


def _tls(options: Options) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(options.tlscert, options.tlskey)
    context.load_verify_locations(options.tlscacert)
    return context
