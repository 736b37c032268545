"""The whole cluster as a file: save it, and make a new swarm of it."""

import asyncio
import tempfile
from collections.abc import Iterator
from typing import IO

from aiohttp import web

from common.clock import Clock
from common.engine_api.http import json_response
from common.errors import InvalidInputError, NotFoundError, TooLargeError, UnavailableError
from common.saved_cluster import SavedCluster, SavedClusterError, SavedHead, pack_saved
from manager.api.access import manager_of
from manager.api.errors import swarm_exists
from manager.api.parse.cluster_spec import parse_init_request
from manager.api.ports import LocalState, SavedState, SwarmNode
from manager.store.snapshot import unpack_snapshot

AT_ONCE_MAX = 2
"""Files that are saved or restored at the same time; one that is being saved keeps what it saves in memory."""
WRITE_SECONDS_MAX = 60.0
"""How long a client may take to read a piece."""
READ_SECONDS_MAX = 60.0
"""How long a client may take to send more."""
SAVED_BYTES_MAX = 1024 * 1024 * 1024
"""The largest file that is restored."""
_SPOOL_BYTES = 256 * 1024
_ADDRESSES = {
    "listenAddr": "ListenAddr",
    "advertiseAddr": "AdvertiseAddr",
    "dataPathAddr": "DataPathAddr",
    "availability": "Availability",
}


class Snapshots:
    """The handlers of ``/swarm/snapshot``."""

    def __init__(self, node: SwarmNode, clock: Clock) -> None:
        self._node, self._clock = node, clock
        self._under_way = 0

    async def save(self, request: web.Request) -> web.StreamResponse:
        """``GET /swarm/snapshot``: a file with every secret and the key of the cluster's certificate authority."""
        store = manager_of(self._node).store
        cluster = store.state.cluster()
        if cluster is None:
            raise NotFoundError("swarm not found")
        self._begin()
        try:
            head = SavedHead(
                cluster_id=cluster.id,
                index=store.state.index,
                saved_at=self._clock.now(),
                objects=store.state.counts(),
            )
            return await _send(request, pack_saved(head, store.snapshot()))
        finally:
            self._under_way -= 1

    async def restore(self, request: web.Request) -> web.Response:
        """``POST /swarm/snapshot``: such a file, on a node that is part of no swarm."""
        body = {key: request.query.get(name, "") for name, key in _ADDRESSES.items()}
        asked = parse_init_request(body)
        if self._node.local_state() is not LocalState.INACTIVE:
            raise swarm_exists()
        self._begin()
        try:
            with tempfile.TemporaryFile() as file:  # it has no name, and only we can read it
                await _receive(request, file)
                saved = await asyncio.to_thread(_checked, file)
                return json_response(await self._node.restore(asked, saved))
        finally:
            self._under_way -= 1

    def _begin(self) -> None:
        if self._under_way >= AT_ONCE_MAX:
            raise UnavailableError(
                "other snapshots are being saved or restored", hint="try again when they are done"
            )
        self._under_way += 1


async def _send(request: web.Request, pieces: Iterator[bytes]) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={"Content-Type": "application/octet-stream", "Cache-Control": "no-store"}
    )
    response.enable_chunked_encoding()
    await response.prepare(request)
    while piece := await asyncio.to_thread(next, pieces, b""):
        async with asyncio.timeout(WRITE_SECONDS_MAX):
            await response.write(piece)
    await response.write_eof()
    return response


async def _receive(request: web.Request, file: IO[bytes]) -> None:
    buffer, size = bytearray(), 0
    while True:
        try:
            async with asyncio.timeout(READ_SECONDS_MAX):
                chunk = await request.content.readany()
        except TimeoutError:
            raise InvalidInputError("the rest of the saved cluster did not come") from None
        buffer += chunk
        size += len(chunk)
        if size > SAVED_BYTES_MAX:
            raise TooLargeError(f"the saved cluster is too large: over {SAVED_BYTES_MAX} bytes")
        if len(buffer) >= _SPOOL_BYTES or not chunk:
            await asyncio.to_thread(file.write, bytes(buffer))
            buffer.clear()
        if not chunk:
            return


def _checked(file: IO[bytes]) -> SavedState:
    """Reads all of it, the state within included, so that nothing is begun with what cannot be finished."""
    file.seek(0)
    saved = SavedCluster(file)
    state = unpack_snapshot(saved.parts()).state
    cluster = state.cluster()
    if cluster is None or (cluster.id, state.index) != (saved.head.cluster_id, saved.head.index):
        raise SavedClusterError("the saved cluster is damaged: its head tells of another")
    return SavedState(
        cluster_id=cluster.id,
        index=state.index,
        root=cluster.root_ca,
        parts=lambda: _parts(file),
    )


def _parts(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    return SavedCluster(file).parts()
