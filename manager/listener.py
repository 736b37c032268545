"""The cluster listener of a manager: one TLS port for all that nodes ask of managers, with a role required per path.

A client may come without a certificate, and then reaches only what is open to anyone (how else would it get one). What
is not listed here is refused before anything of it is looked at.
"""

import asyncio
import contextlib
import json
import logging
import math
import resource
import ssl
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from common.clock import Clock, SystemClock
from common.engine_api.errors import status_of
from common.engine_api.http import json_response
from common.errors import (
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    SwarmdError,
    SystemFailureError,
    UnauthorizedError,
)
from common.keeper import Keeper
from common.model.node import Role
from common.pki.identity import PeerIdentity, expiry_of, peer_of
from common.protocol.acceptor import (
    AcceptBounds,
    Acceptor,
    begin_to_listen,
    bound_tcp,
    bounded_runner,
)
from common.protocol.stream import FramedStream

KEEPALIVE_SECONDS: Final = 15.0
"""How long a connection may take to send the head of its first or next request."""
REQUEST_SECONDS_MAX: Final = 10.0
"""How long a request's body may take to come."""
SHUTDOWN_SECONDS: Final = 2.0
"""How long requests under way may go on when the listener stops."""
HEADER_BYTES_MAX: Final = 8 * 1024
"""Of the first line, and of each header."""
HEADERS_MAX: Final = 32
BODY_BYTES_MAX: Final = 256 * 1024
"""Of one request: the description of a node, and its certificate request."""
HANDSHAKES_MAX: Final = 256
HANDSHAKES_PER_ADDRESS_MAX: Final = 32
HANDSHAKE_SECONDS: Final = 5.0
CONNECTIONS_MAX: Final = 8192
"""At once, and never more than half of the file descriptors that the process may have. One takes about 75 KiB; 5,000
agents were measured, a part of which may come back while their old connections still stand."""
STRANGERS_MAX: Final = 256
"""Connections without a certificate at once, so that they cannot take the places of nodes."""
STRANGERS_PER_ADDRESS_MAX: Final = 32
CONNECTIONS_PER_NODE_MAX: Final = 32
CONNECTIONS_PER_MANAGER_MAX: Final = 1100
"""Of a node with a manager's certificate: it passes on up to ``manager.relay.RELAYS_MAX`` sessions of others."""
HOLDERS_MIN: Final = 1024
"""Holders of connections remembered before those are looked for that hold none any more."""

_TURNS_TO_CLOSE: Final = 3
"""Turns of the loop after which what was aborted is closed."""

log = logging.getLogger("swarmd.cluster")


class Access(Enum):
    """Who may ask."""

    ANYONE = "anyone"
    NODE = "any node of the cluster"
    MANAGER = "managers of the cluster"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks."""

    peer: PeerIdentity | None
    """Proven by its certificate; None: it shows none, which only ``Access.ANYONE`` lets in."""
    address: str
    """The IP address that it comes from."""
    expires_at: float = field(default=math.inf, compare=False)
    """When its certificate runs out; a stream is to end by then."""

    @property
    def identity(self) -> PeerIdentity:
        """The peer of a path that asks for one."""
        if self.peer is None:
            raise UnauthorizedError("a certificate of this cluster is required")
        return self.peer


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRoute:
    """One thing that can be asked."""

    method: str
    path: str
    access: Access
    handler: Callable[[web.Request, Caller], Awaitable[web.StreamResponse]]


Vouch = Callable[[PeerIdentity, Access], None]
"""Looks at a node whose certificate is in order; raises ForbiddenError where the cluster knows better than it."""


class ClusterListener:
    """Listens on one address. An async context; leaving it ends every connection, streams included."""

    def __init__(
        self,
        address: str,
        context: Callable[[], ssl.SSLContext],
        cluster_id: str,
        routes: Iterable[ClusterRoute],
        *,
        vouch: Vouch | None = None,
        clock: Clock | None = None,
    ) -> None:
        """``address`` is ``host:port``; ``context`` is asked anew for each connection."""
        self._address, self._context, self._cluster_id = address, context, cluster_id
        self._routes = {(route.method, route.path): route for route in routes}
        self._vouch = vouch
        self._clock = clock or SystemClock()
        application = web.Application(
            middlewares=[_answer_errors, self._guard], client_max_size=BODY_BYTES_MAX
        )
        for route in self._routes.values():
            application.router.add_route(route.method, route.path, self._handle)
        self._runner = bounded_runner(
            application,
            keepalive_seconds=KEEPALIVE_SECONDS,
            shutdown_seconds=SHUTDOWN_SECONDS,
            header_bytes_max=HEADER_BYTES_MAX,
            headers_max=HEADERS_MAX,
        )
        self._keeper = Keeper()
        self._places = _Places()
        self.port = 0
        """The port that it listens on, once it does."""

    async def __aenter__(self) -> Self:
        """Listens.

        Raises:
            SystemFailureError: the address is taken or cannot be had.
        """
        await self._keeper.open()
        try:
            await self._runner.setup()
            self._listen()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Takes no more connections, and ends those that there are."""
        await self._close()

    def _listen(self) -> None:
        try:
            self._bound = bound_tcp(self._address)
            begin_to_listen(self._bound)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            raise SystemFailureError(
                f"cannot listen on {self._address}: {reason or error}"
            ) from error
        self.port = self._bound.getsockname()[1]
        server = self._runner.server
        assert server is not None, "the runner was set up"  # noqa: S101 - our own mistake
        bounds = AcceptBounds(
            connections_max=_connections_max(),
            handshakes_max=HANDSHAKES_MAX,
            handshakes_per_address_max=HANDSHAKES_PER_ADDRESS_MAX,
            handshake_seconds=HANDSHAKE_SECONDS,
        )
        acceptor = Acceptor(
            server, lambda: len(server.connections), bounds, log, admit=self._places.admit
        )
        self._keeper.spawn(acceptor.run(self._bound, self._context, self._keeper))

    async def _close(self) -> None:
        try:
            await self._keeper.close(None)  # an error of the one who leaves goes its own way
        finally:
            if self.port:
                self._bound.close()
            self._places.end(lambda transport: isinstance(transport.get_protocol(), FramedStream))
            await self._runner.cleanup()
            self._places.end(lambda _: True)
            for _ in range(_TURNS_TO_CLOSE):
                await asyncio.sleep(0)

    # ------------------------------------------------------------------------------------ requests

    @web.middleware
    async def _guard(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        peer, expires_at = peer_of(request.transport), expiry_of(request.transport)
        route = self._routes.get((request.method, request.path))
        access = Access.NODE if route is None else route.access
        self._check(peer, access)
        if access is not Access.ANYONE and expires_at < self._clock.now():
            raise UnauthorizedError("the certificate has run out since the connection was made")
        if route is None:
            raise NotFoundError("page not found")
        request[_CALLER] = Caller(peer=peer, address=request.remote or "", expires_at=expires_at)
        return await handler(request)

    def _check(self, peer: PeerIdentity | None, access: Access) -> None:
        if access is Access.ANYONE:
            return
        if peer is None:
            raise UnauthorizedError("a certificate of this cluster is required")
        if peer.cluster_id != self._cluster_id:
            raise ForbiddenError("the certificate is one of another cluster")
        if access is Access.MANAGER and peer.role is not Role.MANAGER:
            raise ForbiddenError("only managers may ask for this")
        if self._vouch is not None:
            self._vouch(peer, access)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        route = self._routes[request.method, request.path]
        return await route.handler(request, request[_CALLER])


_CALLER: Final = web.RequestKey("caller", Caller)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def read_json_body(request: web.Request) -> Any:  # noqa: ANN401 - as JSON is
    """The body of a request as parsed JSON.

    Raises:
        InvalidInputError: it is not JSON.
        web.HTTPException: it is larger than ``BODY_BYTES_MAX``, or does not come in time.
    """
    try:
        async with asyncio.timeout(REQUEST_SECONDS_MAX):
            body = await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="the request's body does not come") from None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidInputError("the request's body is not JSON") from None


@web.middleware
async def _answer_errors(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except asyncio.CancelledError:
        raise
    except web.HTTPException as error:
        return json_response({"message": error.text or error.reason}, status=error.status)
    except SwarmdError as error:
        return json_response({"message": str(error)}, status=status_of(error))
    except Exception:
        where = {"method": request.method, "path": request.path}
        log.exception("a node's request failed", extra=where)
        return json_response({"message": "internal error: see swarmd's log"}, status=500)


# ----------------------------------------------------------------------------------------- places


class _Places:
    """Who holds how many connections: strangers together and by address, nodes each by its certificate.

    A connection is known by aiohttp's protocol, which loses its transport with the connection; a transport would keep
    TLS's buffers for as long as it is remembered.
    """

    def __init__(self) -> None:
        self._held: dict[str, set[RequestHandler]] = {}
        self._strangers: set[RequestHandler] = set()
        self._look_through_at = HOLDERS_MIN

    def admit(self, transport: asyncio.Transport) -> bool:
        """Takes a place for a new connection; False: there is none for it."""
        try:
            peer = peer_of(transport)
        except UnauthorizedError as error:
            log.info("a client was not let in", extra={"reason": error})
            return False
        connection = transport.get_protocol()
        if not isinstance(connection, RequestHandler):
            return False
        if peer is not None:
            is_manager = peer.role is Role.MANAGER
            most = CONNECTIONS_PER_MANAGER_MAX if is_manager else CONNECTIONS_PER_NODE_MAX
            return self._take(f"node {peer.node_id}", most, connection)
        _forget_ended(self._strangers)
        address = transport.get_extra_info("peername")
        holder = f"host {address[0]}" if address else "host"
        if len(self._strangers) >= STRANGERS_MAX or not self._take(
            holder, STRANGERS_PER_ADDRESS_MAX, connection
        ):
            return False
        self._strangers.add(connection)
        return True

    def end(self, is_meant: Callable[[asyncio.Transport], bool]) -> None:
        """Breaks connections off."""
        for held in self._held.values():
            for transport in [connection.transport for connection in held]:
                # One whose TLS is over knows neither its protocol nor how to abort.
                with contextlib.suppress(AttributeError):
                    if isinstance(transport, asyncio.Transport) and is_meant(transport):
                        transport.abort()

    def _take(self, holder: str, most: int, connection: RequestHandler) -> bool:
        self._look_through()
        held = self._held.setdefault(holder, set())
        _forget_ended(held)
        if len(held) >= most:
            log.info("too many connections of one client: one was closed", extra={"client": holder})
            return False
        held.add(connection)
        return True

    def _look_through(self) -> None:
        """Forgets holders of nothing, each time that there are twice as many as there were afterwards."""
        if len(self._held) < self._look_through_at:
            return
        for held in self._held.values():
            _forget_ended(held)
        self._held = {holder: held for holder, held in self._held.items() if held}
        self._look_through_at = max(HOLDERS_MIN, 2 * len(self._held))


def _forget_ended(held: set[RequestHandler]) -> None:
    held.difference_update([connection for connection in held if connection.transport is None])


def _connections_max() -> int:
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return CONNECTIONS_MAX
    return min(CONNECTIONS_MAX, descriptors // 2)
