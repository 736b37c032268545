"""The table of the local half of the Engine API; nothing else."""

from aiohttp import web

from common.clock import Clock
from worker.api import absent
from worker.api.archive import Archive
from worker.api.attach import Attach
from worker.api.commit import Commits
from worker.api.containers import Containers
from worker.api.exec import Execs
from worker.api.images import Images
from worker.api.lifecycle import Lifecycle
from worker.api.machine import memory_bytes, node_of
from worker.api.networks import Networks
from worker.api.ports import NodeNetworks
from worker.api.pruning import Pruning
from worker.api.stats import Stats
from worker.api.system_df import SystemDf
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
    lifecycle = Lifecycle(engine, images, lambda: node_of(engine, network), clock)
    attach, exec_ = Attach(engine), Execs(engine)
    stats = Stats(engine, clock, memory_bytes=memory_bytes())
    archive, commits = Archive(engine), Commits(engine, images)
    pruning = Pruning(images, clock)
    system_df = SystemDf(engine, images, volumes, clock)
    return [
        *absent.routes(),
        web.get("/images/json", image.list, allow_head=False),
        web.post("/images/create", image.create),
        web.post("/images/load", image.load),
        web.post("/images/prune", pruning.images),
        web.post("/networks/prune", pruning.networks),
        web.post("/build/prune", pruning.builds),
        web.get("/images/{name:.+}/json", image.inspect, allow_head=False),
        web.get("/images/{name:.+}/history", image.history, allow_head=False),
        web.post("/images/{name:.+}/tag", image.tag),
        web.delete("/images/{name:.+}", image.remove),
        # containers
        web.get("/containers/json", container.list, allow_head=False),
        web.get("/containers/{id}/json", container.inspect, allow_head=False),
        web.get("/containers/{id}/logs", container.logs, allow_head=False),
        web.post("/containers/create", lifecycle.create),
        web.post("/containers/prune", lifecycle.prune),
        web.post("/containers/{id}/start", lifecycle.start),
        web.post("/containers/{id}/stop", lifecycle.stop),
        web.post("/containers/{id}/restart", lifecycle.restart),
        web.post("/containers/{id}/kill", lifecycle.kill),
        web.post("/containers/{id}/pause", lifecycle.pause),
        web.post("/containers/{id}/unpause", lifecycle.unpause),
        web.post("/containers/{id}/rename", lifecycle.rename),
        web.post("/containers/{id}/resize", lifecycle.resize),
        web.post("/containers/{id}/update", lifecycle.update),
        web.post("/containers/{id}/wait", lifecycle.wait),
        web.delete("/containers/{id}", lifecycle.remove),
        web.get("/containers/{id}/top", container.top, allow_head=False),
        web.get("/containers/{id}/stats", stats.stats, allow_head=False),
        web.post("/containers/{id}/attach", attach.attach),
        web.get("/containers/{id}/attach/ws", attach.attach_web_socket, allow_head=False),
        # exec
        web.post("/containers/{id}/exec", exec_.create),
        web.get("/exec/{id}/json", exec_.inspect, allow_head=False),
        web.post("/exec/{id}/start", exec_.start),
        web.post("/exec/{id}/resize", exec_.resize),
        # files
        web.head("/containers/{id}/archive", archive.head),
        web.get("/containers/{id}/archive", archive.get, allow_head=False),
        web.put("/containers/{id}/archive", archive.put),
        web.get("/containers/{id}/changes", archive.changes, allow_head=False),
        web.get("/containers/{id}/export", archive.export, allow_head=False),
        web.post("/commit", commits.commit),
        web.get("/system/df", system_df.df, allow_head=False),
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
