"""Nodes must be of a platform that the image is for."""

from common.constraints import canonical_architecture
from common.model.placement import Platform
from manager.scheduler.demand import Demand
from manager.scheduler.filters.filter import UNLIMITED, on_nodes
from manager.scheduler.node_load import NodeLoad


class _Platforms:
    """One of these."""

    def __init__(self, platforms: tuple[Platform, ...]) -> None:
        self._platforms = platforms

    def room(self, load: NodeLoad) -> int:
        """All or nothing."""
        if load.node is None:
            return 0
        has = load.node.description.platform
        return UNLIMITED if any(_runs_on(image, has) for image in self._platforms) else 0

    def explain(self, nodes: int) -> str:
        """SwarmKit's words."""
        return on_nodes("unsupported platform", nodes)


def platform_filter(demand: Demand) -> _Platforms | None:
    """The filter for a demand, when the image names platforms."""
    return _Platforms(demand.site.platforms) if demand.site.platforms else None


def _runs_on(image: Platform, has: Platform) -> bool:
    """Whether an image for one platform runs on another; what the image does not say fits any."""
    wanted = canonical_architecture(image.architecture)
    fits_architecture = not wanted or wanted == canonical_architecture(has.architecture)
    return fits_architecture and (not image.os or image.os.casefold() == has.os.casefold())
