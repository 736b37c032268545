"""The handler of ``POST /commit``: a container's changes as an image."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, aclosing
from typing import Any

from aiohttp import web

from common.engine_api.http import flag, json_response, read_json
from common.engine_json import render
from common.errors import InvalidInputError
from worker.containers.engine import LocalEngine
from worker.containers.record import Container
from worker.images.changes import Settings, settings_of
from worker.images.committed import check_settings, merged_settings
from worker.images.reference import Reference, parse_reference
from worker.images.store import Commit, ImageStore

TEXT_CHARACTERS_MAX = 4096
"""Of an author, and of a comment."""


class Commits:
    """Makes images of containers."""

    def __init__(self, engine: LocalEngine, images: ImageStore) -> None:
        self._engine, self._images = engine, images

    async def commit(self, request: web.Request) -> web.Response:
        """``POST /commit``."""
        body = check_settings(await read_json(request))
        container = self._engine.find(request.query.get("container", ""))
        name = _name(request.query.get("repo", ""), request.query.get("tag", ""))
        wanted = settings_of(_changes(request), body)
        image = self._images.inspect(container.image_id)
        base = settings_of_container(container, image.config.settings)
        commit = Commit(
            parent_id=container.image_id,
            settings=merged_settings(wanted, base),
            name=name,
            author=_text(request, "author"),
            comment=_text(request, "comment"),
            created_by=" ".join(container.argv),
        )
        pieces = self._layer(container.id, pauses=flag(request, "pause", default=True))
        async with aclosing(pieces):
            image_id = await self._images.commit(pieces, commit)
        self._engine.tell(
            container.id,
            "commit",
            comment=commit.comment,
            imageID=image_id,
            imageRef=name.tagged().familiar if name else "",
        )
        return json_response({"Id": image_id}, status=201)

    async def _layer(self, container_id: str, *, pauses: bool) -> AsyncGenerator[bytes, None]:
        """What it has changed; all of it stands still meanwhile, so that it fits together."""
        trees = self._engine.trees
        async with AsyncExitStack() as stack:
            if pauses:
                await stack.enter_async_context(trees.standing_still(container_id))
            reading = await stack.enter_async_context(trees.layer(container_id))
            async for piece in reading.pieces:
                yield piece


def settings_of_container(container: Container, image: Mapping[str, Any]) -> Settings:
    """The "config" part for an image that does what this container does: its image's, under what it was given."""
    spec, host = container.config.spec, container.config.host
    given: Settings = {
        "Env": list(spec.env),
        "Labels": dict(container.config.labels),
        "WorkingDir": spec.dir,
        "User": spec.user,
        "StopSignal": spec.stop_signal,
        "ExposedPorts": {port: {} for port in host.exposed_ports},
        "Entrypoint": list(container.config.entrypoint_given or spec.command),
        "Cmd": list(container.config.cmd_given or spec.args),
    }
    if container.healthcheck is not None:
        given["Healthcheck"] = render(container.healthcheck)
    return merged_settings(given, image)


def _changes(request: web.Request) -> list[str]:
    """Each value holds one instruction or more, a line each."""
    texts = request.query.getall("changes", [])
    return [line for text in texts for line in text.splitlines() if line.strip()]


def _name(repository: str, tag: str) -> Reference | None:
    if not repository:
        return None
    return parse_reference(f"{repository}:{tag}" if tag else repository)


def _text(request: web.Request, key: str) -> str:
    text = request.query.get(key, "")
    if len(text) > TEXT_CHARACTERS_MAX:
        raise InvalidInputError(f"{key} is longer than {TEXT_CHARACTERS_MAX} characters")
    return text
