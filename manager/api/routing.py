"""The table of the cluster's half of the Engine API; nothing else."""

import random  # noqa: TID251 - only named as a type

from aiohttp import web

from common.clock import Clock
from common.events import EventLog
from manager.api.absent import not_implemented
from manager.api.current import about_the_cluster
from manager.api.events import Events
from manager.api.logs import Logs
from manager.api.nodes import Nodes
from manager.api.payloads import CONFIGS, SECRETS, Payloads
from manager.api.ports import LocalEngine, SwarmNode
from manager.api.services import Services
from manager.api.snapshots import Snapshots
from manager.api.swarm import Swarm
from manager.api.system import System
from manager.api.tasks import Tasks


def routes(
    node: SwarmNode, engine: LocalEngine, events: EventLog, clock: Clock, chance: random.Random
) -> list[web.RouteDef]:
    """The routes, without a version, for ``common.engine_api.application``; the worker's half adds its own."""
    system = System(node, engine, events, clock)
    swarm, nodes, tasks, logs = Swarm(node, clock), Nodes(node, clock), Tasks(node), Logs(node)
    snapshots = Snapshots(node, clock)
    services = Services(node, engine, clock, chance)
    secrets, configs = Payloads(node, SECRETS, chance), Payloads(node, CONFIGS, chance)
    return [
        web.get("/_ping", system.ping),
        web.get("/version", system.version),
        web.get("/info", system.info),
        web.get("/events", Events(events, clock).stream),
        web.get("/distribution/{name:.+}/json", system.distribution),
        # this node's life in a swarm
        web.post("/swarm/init", swarm.init),
        web.post("/swarm/join", swarm.join),
        web.post("/swarm/leave", swarm.leave),
        web.post("/swarm/unlock", swarm.unlock),
        web.post("/swarm/snapshot", snapshots.restore),
        # what does not exist yet
        web.post("/networks/create", not_implemented("creating networks")),
        web.get("/plugins", system.plugins),
        *about_the_cluster(
            node,
            [
                web.get("/swarm", swarm.inspect),
                web.post("/swarm/update", swarm.update),
                web.get("/swarm/unlockkey", swarm.unlock_key),
                web.get("/swarm/snapshot", snapshots.save),
                # nodes
                web.get("/nodes", nodes.list),
                web.get("/nodes/{id}", nodes.inspect),
                web.post("/nodes/{id}/update", nodes.update),
                web.delete("/nodes/{id}", nodes.remove),
                # services
                web.get("/services", services.list),
                web.post("/services/create", services.create),
                web.get("/services/{id}", services.inspect),
                web.post("/services/{id}/update", services.update),
                web.delete("/services/{id}", services.remove),
                web.get("/services/{id}/logs", logs.of_service),
                # tasks
                web.get("/tasks", tasks.list),
                web.get("/tasks/{id}", tasks.inspect),
                web.get("/tasks/{id}/logs", logs.of_task),
                # secrets and configs
                web.get("/secrets", secrets.list),
                web.post("/secrets/create", secrets.create),
                web.get("/secrets/{id}", secrets.inspect),
                web.post("/secrets/{id}/update", secrets.update),
                web.delete("/secrets/{id}", secrets.remove),
                web.get("/configs", configs.list),
                web.post("/configs/create", configs.create),
                web.get("/configs/{id}", configs.inspect),
                web.post("/configs/{id}/update", configs.update),
                web.delete("/configs/{id}", configs.remove),
            ],
        ),
    ]
