"""The handlers that remove what nothing uses, of kinds that have no other: images, networks, what builds left."""

from aiohttp import web

from common.clock import Clock
from common.engine_api.filters import Filters
from common.engine_api.http import filters, json_response, moment_of
from common.engine_json import from_rfc3339
from common.errors import InvalidInputError
from worker.images.store import Image, ImageStore

FILTERS = ("dangling", "label", "label!", "until")
NETWORK_FILTERS = ("label", "label!", "until")
_TRUE = frozenset({"1", "true", "True", "t", "T"})
_FALSE = frozenset({"0", "false", "False", "f", "F"})


class Pruning:
    """Takes away what nothing uses."""

    def __init__(self, images: ImageStore, clock: Clock) -> None:
        self._images, self._clock = images, clock

    async def images(self, request: web.Request) -> web.Response:
        """``POST /images/prune``: images without a name; with ``dangling=false`` all that no container is made from."""
        wanted = filters(request, *FILTERS)
        only_nameless = _only_nameless(wanted)
        until = [moment_of(text, now=self._clock.now()) for text in wanted.get("until")]
        pruned = await self._images.prune(
            lambda image: (
                not (only_nameless and image.names)
                and all(_created(image) < limit for limit in until)
                and accepts_labels(wanted, image)
            )
        )
        removed = [
            {"Untagged": item.untagged} if item.untagged else {"Deleted": item.deleted}
            for item in pruned.removed
        ]
        return json_response(
            {"ImagesDeleted": removed or None, "SpaceReclaimed": pruned.bytes_freed}
        )

    async def networks(self, request: web.Request) -> web.Response:
        """``POST /networks/prune``: every network here is one that is never removed."""
        filters(request, *NETWORK_FILTERS)
        return json_response({"NetworksDeleted": None})

    async def builds(self, _request: web.Request) -> web.Response:
        """``POST /build/prune``: nothing is built here, so nothing of it is kept."""
        return json_response({"CachesDeleted": None, "SpaceReclaimed": 0})


def _only_nameless(wanted: Filters) -> bool:
    values = wanted.get("dangling")
    if len(values) > 1 or not values <= _TRUE | _FALSE:
        raise InvalidInputError("invalid filter 'dangling'", hint="use true or false")
    return values <= _TRUE


def accepts_labels(wanted: Filters, image: Image) -> bool:
    """Whether its labels are among those to prune: all of ``label``, none of ``label!``."""
    unwanted = (Filters({"label": frozenset({item})}) for item in wanted.get("label!"))
    return wanted.accepts_labels(image.config.labels) and not any(
        one.accepts_labels(image.config.labels) for one in unwanted
    )


def _created(image: Image) -> float:
    try:
        return from_rfc3339(str(image.config.raw.get("created") or ""))
    except ValueError:
        return 0.0
