"""The handler of ``GET /system/df``: what takes how much of the disk, and what of it nothing uses."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from common.clock import Clock
from common.engine_api.http import json_response
from common.errors import InvalidInputError, NotFoundError
from worker.api.render.container import render_container_summary
from worker.api.render.image import render_image_summary
from worker.api.sizes import container_sizes
from worker.api.volumes import render_volume
from worker.containers.engine import LocalEngine
from worker.images.store import ImageStore
from worker.volumes.local import LocalVolumes

TYPES = ("container", "image", "volume", "build-cache")


class SystemDf:
    """What is on this node's disk."""

    def __init__(
        self, engine: LocalEngine, images: ImageStore, volumes: LocalVolumes, clock: Clock
    ) -> None:
        self._engine, self._images, self._volumes = engine, images, volumes
        self._clock = clock

    async def df(self, request: web.Request) -> web.Response:
        """``GET /system/df``."""
        wanted = request.query.getall("type", []) or list(TYPES)
        for kind in wanted:
            if kind not in TYPES:
                raise InvalidInputError(f"unknown object type: {kind}")
        answer: dict[str, Any] = {}
        if "image" in wanted:
            answer |= self._of_images()
        if "container" in wanted:
            answer["Containers"] = await self._of_containers()
        if "volume" in wanted:
            answer["Volumes"] = await self._of_volumes()
        if "build-cache" in wanted:
            answer["BuildCache"] = []
        return json_response(answer)

    def _of_images(self) -> dict[str, Any]:
        images = self._images.all()
        sizes: dict[str, int] = {}
        for image in images:
            sizes |= zip(image.stored.layers, self._images.layer_sizes(image.id), strict=True)
        users = Counter(layer for image in images for layer in set(image.stored.layers))
        shown = [
            {
                **render_image_summary(image),
                "Containers": image.containers,
                "SharedSize": _shared(image.stored.layers, sizes, users),
            }
            for image in images
        ]
        return {"LayersSize": sum(sizes.values()), "Images": shown}

    async def _of_containers(self) -> list[dict[str, Any]]:
        now, shown = self._clock.now(), []
        for container in self._engine.all():
            try:
                sizes = await container_sizes(self._engine, self._images, container.id)
            except NotFoundError:  # it was removed meanwhile
                continue
            shown.append({**render_container_summary(container, now=now), **sizes})
        return shown

    async def _of_volumes(self) -> list[dict[str, Any]]:
        shown = []
        for volume in self._volumes.all():
            try:
                size = await self._volumes.size(volume.name)
            except NotFoundError:
                continue
            usage = {"Size": size, "RefCount": len(self._volumes.users(volume.name))}
            one = render_volume(volume, self._volumes.path(volume.name))
            shown.append({**one, "UsageData": usage})
        return shown


def _shared(layers: tuple[str, ...], sizes: Mapping[str, int], users: Mapping[str, int]) -> int:
    return sum(sizes[layer] for layer in set(layers) if users[layer] > 1)
