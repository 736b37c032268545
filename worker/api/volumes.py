"""The handlers of ``/volumes``: looking at them."""

from typing import Any

from aiohttp import web

from common.engine_api.filters import Filters
from common.engine_api.http import filters, json_response
from common.engine_json import rfc3339
from worker.volumes.local import LocalVolumes, Volume

FILTERS = ("dangling", "driver", "label", "name")


class Volumes:
    """Volumes of this node."""

    def __init__(self, volumes: LocalVolumes) -> None:
        self._volumes = volumes

    async def list(self, request: web.Request) -> web.Response:
        """``GET /volumes``."""
        wanted = filters(request, *FILTERS)
        found = [volume for volume in self._volumes.all() if self._shows(wanted, volume)]
        return json_response(
            {"Volumes": [self._render(volume) for volume in found], "Warnings": None}
        )

    async def inspect(self, request: web.Request) -> web.Response:
        """``GET /volumes/{name}``."""
        return json_response(self._render(self._volumes.get(request.match_info["name"])))

    def _shows(self, wanted: Filters, volume: Volume) -> bool:
        is_used = bool(self._volumes.users(volume.name))
        return (
            wanted.accepts("dangling", lambda value: (value in ("1", "true")) == (not is_used))
            and wanted.accepts("driver", lambda driver: driver == "local")
            and wanted.accepts_labels(volume.labels)
            and wanted.accepts("name", lambda part: part in volume.name)
        )

    def _render(self, volume: Volume) -> dict[str, Any]:
        labels = dict(volume.labels)
        if volume.is_anonymous:
            labels["com.docker.volume.anonymous"] = ""
        return {
            "CreatedAt": rfc3339(volume.created_at),
            "Driver": "local",
            "Labels": labels,
            "Mountpoint": self._volumes.path(volume.name),
            "Name": volume.name,
            "Options": None,
            "Scope": "local",
        }
