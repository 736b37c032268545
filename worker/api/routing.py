"""The table of the local half of the Engine API; nothing else."""

from aiohttp import web

from common.clock import Clock
from worker.api.containers import Containers
from worker.api.images import Images
from worker.api.networks import Networks
from worker.api.ports import NodeNetworks
from worker.api.volumes import Volumes
from worker.containers.engine import LocalEngine
from worker.images.store import ImageStore
from worker.volumes.local import LocalVolumes


def routes(
    images: ImageStore,
    engine: LocalEngine,
    network: NodeNetworks,
    volumes: LocalVolumes,
    clock: Clock,
) -> list[web.RouteDef]:
    """The routes, without a version, for ``common.engine_api.application``."""
    image, container = Images(images, engine), Containers(engine, images, clock)
    networks, volume = Networks(network, engine), Volumes(volumes)
    return [
        web.get("/images/json", image.list, allow_head=False),
        web.post("/images/create", image.create),
        web.post("/images/load", image.load),
        web.get("/images/{name:.+}/json", image.inspect, allow_head=False),
        web.get("/images/{name:.+}/history", image.history, allow_head=False),
        web.post("/images/{name:.+}/tag", image.tag),
        web.delete("/images/{name:.+}", image.remove),
        # containers
        web.get("/containers/json", container.list, allow_head=False),
        web.get("/containers/{id}/json", container.inspect, allow_head=False),
        web.get("/containers/{id}/logs", container.logs, allow_head=False),
        # networks
        web.get("/networks", networks.list, allow_head=False),
        web.get("/networks/{id}", networks.inspect, allow_head=False),
        # volumes
        web.get("/volumes", volume.list, allow_head=False),
        web.post("/volumes/create", volume.create),
        web.post("/volumes/prune", volume.prune),
        web.get("/volumes/{name}", volume.inspect, allow_head=False),
        web.delete("/volumes/{name}", volume.remove),
    ]
