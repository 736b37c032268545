"""A cluster listener on a free port of the loopback, and streams to it."""

import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from common.model.node import Role
from common.pki.authority import Root
from common.pki.contexts import client_context
from common.pki.identity import PeerIdentity
from common.protocol.stream import FramedStream, StreamBounds
from common.protocol.upgrade import Door, accept, dial, serve
from manager.listener import Access, Caller, ClusterListener, ClusterRoute
from tests.support.pki import CLUSTER_ID, files_of, identity, root_of

MANAGER = identity("manager1")
WORKER = identity("worker1", Role.WORKER)
PROTOCOL = "test/1"
BOUNDS = StreamBounds(frame_bytes_max=1 << 20, buffer_bytes_max=1 << 20, silence_seconds=30.0)


@asynccontextmanager
async def listening(
    directory: Path, routes: Iterable[ClusterRoute], server: PeerIdentity = MANAGER
) -> AsyncIterator[ClusterListener]:
    context = files_of(directory, server).server_context()
    async with ClusterListener("127.0.0.1:0", lambda: context, CLUSTER_ID, routes) as listener:
        yield listener


def client_of(
    directory: Path, who: PeerIdentity | None, root: Root | None = None
) -> ssl.SSLContext:
    """As ``who`` (None: nobody), trusting our own root."""
    ours = root_of().certificate
    if who is None:
        return client_context(ours)
    files = files_of(directory / ("other" if root else "ours"), who, root)
    return client_context(ours, files.certificate, files.key)


def accepting(
    use: Callable[[FramedStream], None], access: Access = Access.NODE, path: str = "/stream"
) -> ClusterRoute:
    async def handle(request: web.Request, _caller: Caller) -> web.StreamResponse:
        stream = accept(request, PROTOCOL, BOUNDS)
        use(stream)
        return await serve(stream)

    return ClusterRoute(method="POST", path=path, access=access, handler=handle)


async def dialled(
    listener: ClusterListener,
    context: ssl.SSLContext,
    path: str = "/stream",
    headers: dict[str, str] | None = None,
    protocol: str = PROTOCOL,
) -> FramedStream:
    door = Door(
        address=f"127.0.0.1:{listener.port}", path=path, protocol=protocol, headers=headers or {}
    )
    return await dial(door, context, BOUNDS, lambda peer: None)
