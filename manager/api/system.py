"""The node as a whole: ping, version, info, and where images come from."""

from typing import Any

from aiohttp import web

from common.clock import Clock
from common.engine_api.http import filters, json_response
from common.errors import InvalidInputError, NoLeaderError, NotFoundError, UnavailableError
from common.events import EventLog
from manager.api.parse.image_reference import is_image_reference
from manager.api.ports import LocalEngine, LocalState, RunningManager, SwarmNode
from manager.api.render.cluster import render_cluster_info
from manager.api.render.system import render_info, render_version
from manager.api.standing import has_leader

CLASSIC_BUILDER = "1"
"""Never "2": Docker's command line would then want BuildKit of us."""

_NO_FAULT_TOLERANCE = 2
_TWO_MANAGERS = (
    "WARNING: Running Swarm in a two-manager configuration. This configuration provides no fault tolerance, and "
    "poses a high risk to lose control over the cluster. Refer to "
    "https://docs.docker.com/engine/swarm/admin_guide/ to configure the Swarm for fault-tolerance."
)

Json = dict[str, Any]


class System:
    """The handlers of what concerns the node as a whole."""

    def __init__(
        self, node: SwarmNode, engine: LocalEngine, events: EventLog, clock: Clock
    ) -> None:
        self._node, self._engine, self._events, self._clock = node, engine, events, clock

    async def ping(self, _request: web.Request) -> web.Response:
        """``GET /_ping`` and ``HEAD /_ping``: clients learn here which version to speak."""
        return web.Response(
            text="OK",
            headers={
                "Builder-Version": CLASSIC_BUILDER,
                "Swarm": self._swarm_header(),
                "Cache-Control": "no-cache, no-store, must-revalidate",
                "Pragma": "no-cache",
            },
        )

    async def version(self, _request: web.Request) -> web.Response:
        """``GET /version``."""
        return json_response(render_version(await self._engine.facts()))

    async def info(self, _request: web.Request) -> web.Response:
        """``GET /info``."""
        facts = await self._engine.facts()
        return json_response(
            render_info(
                facts,
                swarm_info(self._node),
                now=self._clock.now(),
                listeners=self._events.readers,
            )
        )

    async def distribution(self, request: web.Request) -> web.Response:
        """``GET /distribution/{name}/json``: at once no, since no registry is asked; clients warn and go on."""
        name = request.match_info["name"]
        if not is_image_reference(name):
            raise InvalidInputError("invalid reference format")
        raise NotFoundError(f"no registry is asked for images, so {name} has no known digest")

    async def plugins(self, request: web.Request) -> web.Response:
        """``GET /plugins``: there are none, and none can be installed."""
        filters(request, "capability", "enabled")
        return json_response([])

    def _swarm_header(self) -> str:
        state = self._node.local_state()
        if state is not LocalState.ACTIVE:
            return state.value
        return "active/manager" if self._node.manager is not None else "active/worker"


def swarm_info(node: SwarmNode) -> Json:
    """Engine API ``SwarmInfo``."""
    result: Json = {
        "NodeID": node.node_id,
        "NodeAddr": node.node_addr,
        "LocalNodeState": node.local_state().value,
        "ControlAvailable": node.manager is not None,
        "Error": node.local_error(),
        "RemoteManagers": None,
    }
    if node.manager is not None:
        result |= _cluster_facts(node.manager)
    return result


def _cluster_facts(manager: RunningManager) -> Json:
    """What this manager knows, also where nobody leads: then ``Error`` says so."""
    state = manager.store.state
    try:
        managers, error = manager.managers(), ""
    except UnavailableError as reason:  # it stops just now
        managers, error = {}, reason.message
    if not error and not has_leader(managers):
        error = NoLeaderError().message
    result: Json = {
        **({"Error": error} if error else {}),
        "RemoteManagers": [
            {"NodeID": node_id, "Addr": one.addr} for node_id, one in managers.items()
        ],
        "Nodes": len(state.nodes),
        "Managers": len(managers),
    }
    if len(managers) == _NO_FAULT_TOLERANCE:
        result["Warnings"] = [_TWO_MANAGERS]
    cluster = state.cluster()
    if cluster is not None:
        result["Cluster"] = render_cluster_info(cluster)
    return result
