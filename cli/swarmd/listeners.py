"""Where the API listens: unix sockets and TCP with mutual TLS."""

import logging
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from cli.swarmd.local_api import LocalApi
from cli.swarmd.options import Options
from common.errors import SystemFailureError
from common.keeper import Keeper
from common.protocol.acceptor import (
    AcceptBounds,
    Acceptor,
    begin_to_listen,
    bound_tcp,
    bounded_runner,
)

SOCKET_MODE = 0o660
SHUTDOWN_SECONDS = 2.0
"""How long requests under way may go on when swarmd stops; streams that never end are cut off after it."""
KEEPALIVE_SECONDS = 75.0
"""How long a connection may take to send the head of its first or next request."""
MAX_HEADER_BYTES = 32 * 1024
"""Of the first line, and of each header."""
MAX_HEADERS = 128
CONNECTIONS_MAX = 512
"""Clients connected at once, of all addresses."""
HANDSHAKES_MAX = 64
"""Of one address of ours."""
HANDSHAKES_PER_CLIENT_MAX = 32
HANDSHAKE_SECONDS = 10.0

log = logging.getLogger("swarmd.api")


class Listeners:
    """All addresses at which one application answers. An async context; leaving it ends every connection."""

    def __init__(self, application: web.Application, options: Options, local: LocalApi) -> None:
        self._options, self._local = options, local
        self._runner = bounded_runner(
            application,
            keepalive_seconds=KEEPALIVE_SECONDS,
            shutdown_seconds=SHUTDOWN_SECONDS,
            header_bytes_max=MAX_HEADER_BYTES,
            headers_max=MAX_HEADERS,
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
            self._local.server = self._runner.server
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
            self._local.server = None
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
        context: Callable[[], ssl.SSLContext] | None = None
        try:
            if scheme == "unix":
                bound = _bound_unix(Path(rest))
            else:
                made = _tls(self._options)
                context = lambda: made  # noqa: E731 - it does not change while swarmd runs
                bound = bound_tcp(rest)
            self._bound.append((address, bound))
            begin_to_listen(bound)
        except OSError as error:
            raise SystemFailureError(
                f"cannot listen on {address}: {error.strerror or error}"
            ) from error
        server = self._runner.server
        assert server is not None, "the runner was set up"  # noqa: S101 - our own mistake
        bounds = AcceptBounds(
            connections_max=CONNECTIONS_MAX,
            handshakes_max=HANDSHAKES_MAX,
            handshakes_per_address_max=HANDSHAKES_PER_CLIENT_MAX,
            handshake_seconds=HANDSHAKE_SECONDS,
        )
        acceptor = Acceptor(server, lambda: len(server.connections), bounds, log)
        self._keeper.spawn(acceptor.run(bound, context, self._keeper))


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


def _tls(options: Options) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(options.tlscert, options.tlskey)
    context.load_verify_locations(options.tlscacert)
    return context
