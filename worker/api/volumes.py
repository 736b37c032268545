"""The handlers of ``/volumes``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from common.engine_api.application import requested_version
from common.engine_api.filters import Filters
from common.engine_api.http import filters, flag, json_response, read_json
from common.engine_json import parse, rfc3339
from common.errors import InvalidInputError, NotFoundError, NotImplementedHereError
from common.model.container_spec import Driver
from worker.api.name_patterns import name_filter
from worker.volumes.local import LocalVolumes, Volume

FILTERS = ("dangling", "driver", "label", "name")
PRUNE_FILTERS = ("all", "label", "label!")
_ALL_BY_DEFAULT_BEFORE = (1, 42)
"""Older clients expect that pruning takes named volumes, too."""
_TRUE = ("1", "true", "True", "t", "T")
_FALSE = ("0", "false", "False", "f", "F")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """``VolumeCreateOptions``."""

    name: str = ""
    driver: str = ""
    driver_opts: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


class Volumes:
    """Volumes of this node."""

    def __init__(self, volumes: LocalVolumes) -> None:
        self._volumes = volumes

    async def list(self, request: web.Request) -> web.Response:
        """``GET /volumes``."""
        wanted = filters(request, *FILTERS)
        is_named = name_filter(wanted)
        found = [
            volume
            for volume in self._volumes.all()
            if is_named(volume.name) and self._shows(wanted, volume)
        ]
        return json_response(
            {"Volumes": [self._render(volume) for volume in found], "Warnings": None}
        )

    async def inspect(self, request: web.Request) -> web.Response:
        """``GET /volumes/{name}``."""
        return json_response(self._render(self._volumes.get(request.match_info["name"])))

    async def create(self, request: web.Request) -> web.Response:
        """``POST /volumes/create``: the same name again gives the volume that there is."""
        body = await read_json(request)
        if isinstance(body, dict) and body.get("ClusterVolumeSpec"):
            raise NotImplementedHereError("cluster volumes: not implemented")
        wanted = parse(_Wanted, body or {}, "volume")
        volume = await self._volumes.create(
            wanted.name,
            driver=Driver(name=wanted.driver, options=wanted.driver_opts),
            labels=wanted.labels,
        )
        return json_response(self._render(volume), status=201)

    async def remove(self, request: web.Request) -> web.Response:
        """``DELETE /volumes/{name}``."""
        try:
            await self._volumes.remove(request.match_info["name"])
        except NotFoundError:
            if not flag(request, "force"):
                raise
        return web.Response(status=204)

    async def prune(self, request: web.Request) -> web.Response:
        """``POST /volumes/prune``: those without a name; with the filter ``all`` all that nothing uses."""
        wanted = filters(request, *PRUNE_FILTERS)
        every = requested_version(request) < _ALL_BY_DEFAULT_BEFORE or _says_all(wanted)
        pruned = await self._volumes.prune(
            lambda volume: (every or volume.is_anonymous) and accepts_labels(wanted, volume)
        )
        return json_response(
            {"VolumesDeleted": list(pruned.names), "SpaceReclaimed": pruned.bytes_freed}
        )

    def _shows(self, wanted: Filters, volume: Volume) -> bool:
        is_used = bool(self._volumes.users(volume.name))
        return (
            wanted.accepts("dangling", lambda value: (value in ("1", "true")) == (not is_used))
            and wanted.accepts("driver", lambda driver: driver == "local")
            and wanted.accepts_labels(volume.shown_labels)
        )

    def _render(self, volume: Volume) -> dict[str, Any]:
        return render_volume(volume, self._volumes.path(volume.name))


def render_volume(volume: Volume, path: str) -> dict[str, Any]:
    """Engine API ``Volume``."""
    return {
        "CreatedAt": rfc3339(volume.created_at),
        "Driver": "local",
        "Labels": dict(volume.shown_labels),
        "Mountpoint": path,
        "Name": volume.name,
        "Options": dict(volume.options) or None,
        "Scope": "local",
    }


def accepts_labels(wanted: Filters, volume: Volume) -> bool:
    """Whether its labels are among those to prune: all of ``label``, none of ``label!``."""
    unwanted = (Filters({"label": frozenset({item})}) for item in wanted.get("label!"))
    return wanted.accepts_labels(volume.shown_labels) and not any(
        one.accepts_labels(volume.shown_labels) for one in unwanted
    )


def _says_all(wanted: Filters) -> bool:
    values = wanted.get("all")
    if not values:
        return False
    if len(values) > 1 or not values <= {*_TRUE, *_FALSE}:
        raise InvalidInputError("invalid filter 'all'", hint="use true or false")
    return values <= set(_TRUE)
