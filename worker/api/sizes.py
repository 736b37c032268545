"""How much containers take on the disk."""

from collections.abc import Mapping

from worker.containers.engine import LocalEngine
from worker.images.store import ImageStore


async def container_sizes(
    engine: LocalEngine, images: ImageStore, container_id: str
) -> Mapping[str, int]:
    """How much a container has written (-1: nobody can tell), and how much it has with its image.

    Raises:
        NotFoundError: it is gone.
        SystemFailureError: the disk said no.
    """
    container = engine.find(container_id)
    written = await engine.size(container.id)
    image = images.inspect(container.image_id)
    return {"SizeRw": written, "SizeRootFs": max(written, 0) + image.stored.size_bytes}
