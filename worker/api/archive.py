"""The handlers that read and write a container's files: ``archive``, ``changes``, ``export``."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from common.engine_api.http import flag
from common.errors import InvalidInputError
from worker.containers.engine import LocalEngine
from worker.containers.trees import Reading

STAT_HEADER = "X-Docker-Container-Path-Stat"
UNREAD_SECONDS_MAX = 300.0
"""How long a client may take nothing of what it asked for, before its connection ends."""
_TAR = "application/x-tar"


class Archive:
    """Files of containers."""

    def __init__(self, engine: LocalEngine) -> None:
        self._engine = engine

    async def head(self, request: web.Request) -> web.Response:
        """``HEAD /containers/{id}/archive``."""
        stat = await self._engine.trees.stat(self._id(request), _path(request))
        return web.Response(headers={STAT_HEADER: _encoded(stat)})

    async def get(self, request: web.Request) -> web.StreamResponse:
        """``GET /containers/{id}/archive``."""
        async with self._engine.trees.get(self._id(request), _path(request)) as reading:
            headers = {STAT_HEADER: _encoded(reading.head), "Content-Type": _TAR}
            return await _send(request, reading, headers)

    async def put(self, request: web.Request) -> web.Response:
        """``PUT /containers/{id}/archive``."""
        await self._engine.trees.put(
            self._id(request),
            _path(request),
            _body(request),
            is_strict=flag(request, "noOverwriteDirNonDir"),
            as_user=flag(request, "copyUIDGID"),
        )
        return web.Response()

    async def changes(self, request: web.Request) -> web.StreamResponse:
        """``GET /containers/{id}/changes``."""
        async with self._engine.trees.changes(self._id(request)) as reading:
            return await _send(request, reading, {"Content-Type": "application/json"})

    async def export(self, request: web.Request) -> web.StreamResponse:
        """``GET /containers/{id}/export``."""
        async with self._engine.trees.export(self._id(request)) as reading:
            return await _send(request, reading, {"Content-Type": "application/octet-stream"})

    def _id(self, request: web.Request) -> str:
        return self._engine.find(request.match_info["id"]).id


def _path(request: web.Request) -> str:
    path = request.query.get("path", "")
    if not path:
        raise InvalidInputError("bad parameter: 'path' cannot be empty")
    return path


def _encoded(stat: Any) -> str:  # noqa: ANN401 - JSON
    return base64.b64encode(json.dumps(stat).encode()).decode()


async def _send(
    request: web.Request, reading: Reading, headers: dict[str, str]
) -> web.StreamResponse:
    response = web.StreamResponse(headers=headers)
    response.enable_chunked_encoding()
    await response.prepare(request)
    async for piece in reading.pieces:
        async with asyncio.timeout(UNREAD_SECONDS_MAX):
            await response.write(piece)
    await response.write_eof()
    return response


async def _body(request: web.Request) -> AsyncIterator[bytes]:
    async for chunk in request.content.iter_any():
        yield chunk
