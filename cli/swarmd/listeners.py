"""Where the API listens: unix sockets and TCP with mutual TLS."""

import os
import socket
import ssl
from pathlib import Path

from aiohttp import web

from cli.swarmd.options import Options
from common.errors import SystemFailureError

SOCKET_MODE = 0o660
BACKLOG = 128
SHUTDOWN_SECONDS = 2.0
"""How long requests under way may go on when swarmd stops."""
KEEPALIVE_SECONDS = 75.0
MAX_HEADER_BYTES = 32 * 1024


class Listeners:
    """All addresses at which one application answers."""

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
            handler_cancellation=True,
        )

    async def start(self) -> None:
        """Listens everywhere.

        Raises:
            SystemFailureError: an address is taken or cannot be had.
        """
        await self._runner.setup()
        for address in self._options.listeners:
            scheme, _, rest = address.partition("://")
            try:
                site = self._unix(Path(rest)) if scheme == "unix" else self._tcp(rest)
                await site.start()
            except OSError as error:
                raise SystemFailureError(
                    f"cannot listen on {address}: {error.strerror or error}"
                ) from error

    async def stop(self) -> None:
        """Takes no more requests; those under way get ``SHUTDOWN_SECONDS``."""
        await self._runner.cleanup()
        self._remove_sockets()

    def _remove_sockets(self) -> None:
        for address in self._options.listeners:
            if address.startswith("unix://"):
                Path(address.removeprefix("unix://")).unlink(missing_ok=True)

    def _unix(self, path: Path) -> web.BaseSite:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o711)
        path.unlink(missing_ok=True)  # we hold the lock of exec-root: whoever made it is gone
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o777 & ~SOCKET_MODE)
        try:
            server.bind(str(path))
        finally:
            os.umask(before)
        return web.SockSite(self._runner, server, backlog=BACKLOG)

    def _tcp(self, address: str) -> web.BaseSite:
        host, _, port = address.rpartition(":")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._options.tlscert, self._options.tlskey)
        context.load_verify_locations(self._options.tlscacert)
        context.verify_mode = ssl.CERT_REQUIRED
        return web.TCPSite(
            self._runner, host.strip("[]"), int(port), ssl_context=context, backlog=BACKLOG
        )
