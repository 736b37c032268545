"""The handlers that change containers: from their making to their removal."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiohttp import web

from common.clock import Clock
from common.engine_api.filters import Filters
from common.engine_api.http import filters, flag, integer, json_response, moment_of, read_json
from common.engine_api.streaming import while_connected
from common.engine_json import parse
from common.errors import InvalidInputError, NotFoundError
from worker.api.parse.create import ImageFacts, Node, creation_of, read_create
from worker.api.parse.resources import update_of
from worker.api.parse.wire import WireUpdate
from worker.containers.engine import LocalEngine
from worker.containers.record import Container, ContainerState
from worker.containers.waiting import WaitCondition
from worker.images.store import ImageStore

PRUNE_FILTERS: Final = ("label", "label!", "until")
TERMINAL_MAX: Final = 0xFFFF
"""Rows or columns."""

_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


class Lifecycle:
    """What happens to containers of this node."""

    def __init__(
        self, engine: LocalEngine, images: ImageStore, describe: Callable[[], Node], clock: Clock
    ) -> None:
        """``describe`` tells of the node, anew at each request."""
        self._engine, self._images, self._describe = engine, images, describe
        self._clock = clock

    def _id(self, request: web.Request) -> str:
        return self._engine.find(request.match_info["id"]).id

    async def create(self, request: web.Request) -> web.Response:
        """``POST /containers/create``."""
        wire = read_create(await read_json(request))
        image = self._images.inspect(wire.image)
        _check_platform(request.query.get("platform", ""), wire.image, image.config.raw)
        facts = ImageFacts(
            cmd=image.config.cmd,
            exposed_ports=tuple(image.config.settings.get("ExposedPorts") or ()),
        )
        name = request.query.get("name", "")
        creation = creation_of(wire, name=name, node=self._describe(), image=facts)
        container = await self._engine.create(creation.config)
        return json_response({"Id": container.id, "Warnings": list(creation.warnings)}, status=201)

    async def start(self, request: web.Request) -> web.Response:
        """``POST /containers/{id}/start``: 304 when it runs already."""
        container = self._engine.find(request.match_info["id"])
        if container.state in (ContainerState.RUNNING, ContainerState.RESTARTING):
            return web.Response(status=304)
        await self._engine.start(container.id)
        return web.Response(status=204)

    async def stop(self, request: web.Request) -> web.Response:
        """``POST /containers/{id}/stop``: 304 when it does not run."""
        container = self._engine.find(request.match_info["id"])
        grace, signal = _grace(request)
        if not container.is_active:
            return web.Response(status=304)
        await self._engine.stop(container.id, grace_seconds=grace, signal=signal)
        return web.Response(status=204)

    async def restart(self, request: web.Request) -> web.Response:
        """``POST /containers/{id}/restart``."""
        grace, signal = _grace(request)
        await self._engine.restart(self._id(request), grace_seconds=grace, signal=signal)
        return web.Response(status=204)

    async def kill(self, request: web.Request) -> web.Response:
        """``POST /containers/{id}/kill``."""
        signal = request.query.get("signal", "") or "SIGKILL"
        await self._engine.kill(self._id(request), signal)
        return web.Response(status=204)

    async def pause(self, request: web.Request) -> web.Response:
        """``POST /containers/{id}/pause``."""
        await self._engine.pause(self._id(request))
        return web.Response(status=204)

    async def unpause(self, request: web.Request) -> web.Response:
        """``POST /containers/{id}/unpause``."""
        await self._engine.unpause(self._id(request))
        return web.Response(status=204)

    async def rename(self, request: web.Request) -> web.Response:
        """``POST /containers/{id}/rename``."""
        await self._engine.rename(self._id(request), request.query.get("name", ""))
        return web.Response(status=204)

    async def resize(self, request: web.Request) -> web.Response:
        """``POST /containers/{id}/resize``."""
        rows, columns = terminal_size(request)
        await self._engine.resize(self._id(request), rows, columns)
        return web.Response(status=200)

    async def update(self, request: web.Request) -> web.Response:
        """``POST /containers/{id}/update``."""
        container_id = self._id(request)
        raw = await read_json(request)
        if not isinstance(raw, dict):
            raise InvalidInputError("invalid JSON: expected an object")
        wanted = update_of(parse(WireUpdate, raw, "config"), cpus=self._describe().cpus)
        await self._engine.update(container_id, wanted)
        return json_response({"Warnings": []})

    async def wait(self, request: web.Request) -> web.StreamResponse:
        """``POST /containers/{id}/wait``: its headers at once, its body at the end.

        Whoever has the headers misses no end: clients start the container only then.
        """
        text = request.query.get("condition", "") or WaitCondition.NOT_RUNNING.value
        try:
            condition = WaitCondition(text)
        except ValueError:
            raise InvalidInputError(f'invalid condition: "{text}"') from None
        container_id = self._id(request)
        ending = self._engine.wait(container_id, condition)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)

        async def tell() -> None:
            ended = await ending
            answer: dict[str, Any] = {"StatusCode": ended.exit_code}
            left = self._engine.get(container_id)
            if left is not None and left.state is ContainerState.DEAD:  # it was not removed in full
                answer["Error"] = {"Message": left.error}
            await response.write((json.dumps(answer) + "\n").encode())

        await while_connected(request, tell())
        await response.write_eof()
        return response

    async def remove(self, request: web.Request) -> web.Response:
        """``DELETE /containers/{id}``."""
        if flag(request, "link"):
            raise NotFoundError("links between containers are not available: there is none")
        container_id = self._id(request)
        await self._engine.remove(
            container_id, force=flag(request, "force"), volumes=flag(request, "v")
        )
        return web.Response(status=204)

    async def prune(self, request: web.Request) -> web.Response:
        """``POST /containers/prune``."""
        wanted = filters(request, *PRUNE_FILTERS)
        until = [moment_of(text, now=self._clock.now()) for text in wanted.get("until")]
        pruned = await self._engine.prune(lambda container: _is_wanted(container, wanted, until))
        return json_response(
            {"ContainersDeleted": list(pruned.ids) or None, "SpaceReclaimed": pruned.bytes_freed}
        )


def _grace(request: web.Request) -> tuple[float | None, str]:
    """``t`` and ``signal`` of a stop: the container's own grace where it is not given; below zero it has no end."""
    given = request.query.get("t", "")
    return float(integer(request, "t")) if given else None, request.query.get("signal", "")


def terminal_size(request: web.Request) -> tuple[int, int]:
    """``h`` and ``w``: rows and columns.

    Raises:
        InvalidInputError: they are not.
    """
    rows, columns = integer(request, "h"), integer(request, "w")
    for number in (rows, columns):
        if not 0 <= number <= TERMINAL_MAX:
            raise InvalidInputError(f"invalid terminal size {rows}x{columns}")
    return rows, columns


def _check_platform(platform: str, reference: str, image: Mapping[str, Any]) -> None:
    """Refuses an image that is of another platform than the one asked for ("linux/amd64")."""
    if not platform:
        return
    system, _, rest = platform.partition("/")
    architecture = rest.partition("/")[0]
    wanted = (system, _ARCHITECTURES.get(architecture, architecture))
    has = (image.get("os") or "linux", image.get("architecture") or wanted[1])
    if wanted[0] != has[0] or (wanted[1] and wanted[1] != has[1]):
        raise NotFoundError(
            f"image with reference {reference} was found but does not provide the specified "
            f"platform ({platform})"
        )


def _is_wanted(container: Container, wanted: Filters, until: list[float]) -> bool:
    return (
        wanted.accepts_labels(container.config.labels)
        and not any(
            Filters({"label": frozenset({item})}).accepts_labels(container.config.labels)
            for item in wanted.get("label!")
        )
        and all(container.created_at < limit for limit in until)
    )
