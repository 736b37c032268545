"""Requests to the engine of another node: a header names the node, and any manager hands the request on to it.

```
 client ── X-Swarmd-Node: worker-3 ──▶ any manager ── raw HTTP in a stream of bytes ──▶ the node's own API
        ◀──────────────────────── its answer, byte for byte ────────────────────────
```

What is about the cluster is the same everywhere and is answered here, whatever the header says. Docker's client sends
the header with every request when its ``config.json`` has it among ``HttpHeaders``.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Never

from aiohttp import web
from aiohttp.typedefs import Middleware

from common.engine_api.hijack import Hijacked, spoken, take_over
from common.errors import UnavailableError
from common.model.node import NodeState
from common.protocol.byte_stream import ByteStream
from manager.api.access import manager_of
from manager.api.ports import SwarmNode

NODE: Final = "X-Swarmd-Node"
SELF: Final = "self"
_OF_A_NODE: Final = re.compile(
    r"(/v\d+\.\d+)?/(containers|exec|images|volumes|networks|events|info|version|commit|build|system|_ping)(/|$)"
)
_PER_CONNECTION: Final = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "expect", NODE.lower()}
)
_OF_THE_BODY: Final = frozenset({"content-length", "content-encoding"})
_DECODED: Final = frozenset({"gzip", "deflate", "br", "zstd"})
"""Encodings of a body that aiohttp takes away as it reads: its length is another one then."""
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def elsewhere(node: SwarmNode) -> Middleware:
    """The middleware that hands requests on."""

    @web.middleware
    async def hand_on(request: web.Request, handler: _Handler) -> web.StreamResponse:
        wanted = request.headers.get(NODE, "")
        if wanted in ("", SELF) or not _OF_A_NODE.match(request.path):
            return await handler(request)
        if wanted == node.node_id:
            return await handler(request)
        manager = manager_of(node)
        found = manager.store.state.find_node(wanted)
        if found.id == node.node_id:
            return await handler(request)
        if found.status.state in (NodeState.DOWN, NodeState.DISCONNECTED):
            raise UnavailableError(f"node {wanted} is {found.status.state.value}")
        return await _hand_on(request, await manager.reaching.open(found.id))

    return hand_on


async def _hand_on(request: web.Request, stream: ByteStream) -> web.StreamResponse:
    try:
        await stream.write(request_head(request))
        try:
            await _send_body(request, stream)
        except UnavailableError:
            if not stream.has_come:
                raise
            return await _pass_on_refusal(take_over(request), stream)
        return await _relay(take_over(request), stream)
    finally:
        stream.close()


async def _pass_on_refusal(client: Hijacked, stream: ByteStream) -> web.StreamResponse:
    """The node has answered, and left, before it had all of the body; the rest of it is nobody's."""
    try:
        await _hear(stream, client)
    except (UnavailableError, ConnectionError):
        client.abort()
    await client.end()
    return spoken()


def request_head(request: web.Request) -> bytes:
    """The request as the other node gets it: for one connection, with a body that is framed anew."""
    lines = [f"{request.method} {request.raw_path} HTTP/1.1"]
    left_out = _PER_CONNECTION | (_OF_THE_BODY if _is_decoded(request) else frozenset())
    lines += [
        f"{name}: {value}"
        for name, value in request.headers.items()
        if name.lower() not in left_out
    ]
    lines.append("Connection: Upgrade" if "Upgrade" in request.headers else "Connection: close")
    if request.can_read_body and _is_chunked(request):
        lines.append("Transfer-Encoding: chunked")
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")


def _is_decoded(request: web.Request) -> bool:
    return request.headers.get("Content-Encoding", "").lower() in _DECODED


def _is_chunked(request: web.Request) -> bool:
    """Whether the other node gets the body in chunks: its length is not known."""
    return request.content_length is None or _is_decoded(request)


async def _send_body(request: web.Request, stream: ByteStream) -> None:
    if not request.can_read_body:
        return
    is_chunked = _is_chunked(request)
    async for piece in request.content.iter_any():
        await stream.write(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
    if is_chunked:
        await stream.write(b"0\r\n\r\n")


async def _relay(client: Hijacked, stream: ByteStream) -> web.StreamResponse:
    """Passes on what the node answers, and what the client says further, until the node has said its last."""
    try:
        async with asyncio.TaskGroup() as group:
            saying = group.create_task(_say(client, stream))
            await _hear(stream, client)
            saying.cancel()
    except* (UnavailableError, ConnectionError):
        client.abort()  # one side is gone: so is the other
    await client.end()
    return spoken()


async def _say(client: Hijacked, stream: ByteStream) -> Never:
    """Ends when the client is gone. A node that takes no more may still have something to say."""
    with suppress(UnavailableError):
        while piece := await client.read():
            await stream.write(piece)
        if not client.is_gone:
            await stream.end()
    await client.until_gone()
    raise ConnectionResetError("the client is gone")


async def _hear(stream: ByteStream, client: Hijacked) -> None:
    while piece := await stream.read():
        await client.write(piece)
