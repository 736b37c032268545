"""The handlers of ``/images``."""

import json
import re
from collections.abc import AsyncIterator, Mapping
from functools import lru_cache

from aiohttp import web

from common.engine_api.filters import Filters
from common.engine_api.http import filters, flag, json_list_response, json_response
from common.errors import InvalidInputError, NotImplementedHereError
from worker.api.render.image import render_history, render_image, render_image_summary
from worker.containers.engine import LocalEngine
from worker.containers.record import ContainerState
from worker.images.reference import Reference, parse_reference
from worker.images.store import Image, ImageStore

FILTERS = ("before", "dangling", "label", "reference", "since", "until")
_TRUE = frozenset({"1", "true"})
_PATTERN_PARTS = re.compile(r"\*|\?|\[[^\]]*\]|[^*?\[]+|\[")


class Images:
    """Images of this node."""

    def __init__(self, images: ImageStore, engine: LocalEngine) -> None:
        self._images, self._engine = images, engine

    async def list(self, request: web.Request) -> web.StreamResponse:
        """``GET /images/json``."""
        wanted = filters(request, *FILTERS)
        if wanted.get("until"):
            raise NotImplementedHereError("the filter until is not available yet")
        bounds = {
            name: [self._images.inspect(value).stored.added_at for value in wanted.get(name)]
            for name in ("before", "since")
        }
        found = [image for image in self._images.all() if shows(wanted, image, bounds)]
        return await json_list_response(request, found, render_image_summary)

    async def inspect(self, request: web.Request) -> web.Response:
        """``GET /images/{name}/json``."""
        return json_response(render_image(self._images.inspect(request.match_info["name"])))

    async def history(self, request: web.Request) -> web.Response:
        """``GET /images/{name}/history``."""
        image = self._images.inspect(request.match_info["name"])
        return json_response(render_history(image, self._images.layer_sizes(image.id)))

    async def create(self, request: web.Request) -> web.Response:
        """``POST /images/create``: an import of the request's body."""
        source = request.query.get("fromSrc", "")
        if not source:
            raise NotImplementedHereError(
                "pulling is not available yet", hint="load or import the image on each node"
            )
        if source != "-":
            raise NotImplementedHereError(
                "importing from a URL is not available", hint="pipe it in"
            )
        changes = [
            line
            for value in request.query.getall("changes", [])
            for line in value.splitlines()
            if line.strip()
        ]
        image_id = await self._images.import_(
            _body(request),
            name=_named(request.query.get("repo", ""), request.query.get("tag", "")),
            changes=changes,
            message=request.query.get("message", ""),
        )
        return _messages({"status": image_id})

    async def load(self, request: web.Request) -> web.Response:
        """``POST /images/load``: the images of an archive in the request's body."""
        loaded = await self._images.load(_body(request))
        named = [f"Loaded image: {name.familiar}" for image in loaded for name in image.names]
        unnamed = [f"Loaded image ID: {image.id}" for image in loaded if not image.names]
        return _messages(*({"stream": f"{text}\n"} for text in (*named, *unnamed)))

    async def tag(self, request: web.Request) -> web.Response:
        """``POST /images/{name}/tag``."""
        name = _named(request.query.get("repo", ""), request.query.get("tag", ""))
        if name is None:
            raise InvalidInputError("invalid reference format")
        await self._images.tag(request.match_info["name"], name)
        return web.Response(status=201)

    async def remove(self, request: web.Request) -> web.Response:
        """``DELETE /images/{name}``."""
        removed = await self._images.remove(
            request.match_info["name"], force=flag(request, "force"), is_running=self._is_running
        )
        return json_response(
            [
                {"Untagged": item.untagged} if item.untagged else {"Deleted": item.deleted}
                for item in removed
            ]
        )

    def _is_running(self, container_id: str) -> bool:
        container = self._engine.get(container_id)
        return container is not None and container.state is ContainerState.RUNNING


def shows(wanted: Filters, image: Image, bounds: Mapping[str, list[float]]) -> bool:
    """Whether the filters let this image through. ``bounds`` are the moments that before and since name."""
    familiar = [(name.familiar, name.familiar_name) for name in image.names]
    return (
        wanted.accepts("dangling", lambda value: (value in _TRUE) == (not image.names))
        and wanted.accepts_labels(image.config.labels)
        and wanted.accepts(
            "reference",
            lambda pattern: any(
                _pattern(pattern).fullmatch(text) for names in familiar for text in names
            ),
        )
        and all(image.stored.added_at < moment for moment in bounds["before"])
        and all(image.stored.added_at > moment for moment in bounds["since"])
    )


@lru_cache(maxsize=128)
def _pattern(text: str) -> re.Pattern[str]:
    """A shell pattern as Go's path.Match reads it: ``*`` does not cross a slash."""
    words = {"*": "[^/]*", "?": "[^/]", "[": re.escape("[")}
    parts = (
        part if part.startswith("[") and len(part) > 1 else words.get(part, re.escape(part))
        for part in _PATTERN_PARTS.findall(text)
    )
    try:
        return re.compile("".join(parts))
    except re.error as error:
        raise InvalidInputError(f"invalid filter 'reference={text}'") from error


def _named(repository: str, tag: str) -> Reference | None:
    if not repository:
        return None
    return parse_reference(f"{repository}:{tag}" if tag else repository)


async def _body(request: web.Request) -> AsyncIterator[bytes]:
    async for chunk in request.content.iter_any():
        yield chunk


def _messages(*messages: Mapping[str, str]) -> web.Response:
    lines = "".join(json.dumps(message) + "\r\n" for message in messages)
    return web.Response(body=lines.encode(), content_type="application/json")
