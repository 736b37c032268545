"""The swarm itself: make one, look at it, change its settings, leave it."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from aiohttp import web

from common.clock import Clock
from common.engine_api.http import flag, integer, json_response, read_json
from common.engine_json import parse
from common.errors import (
    ConflictError,
    NotFoundError,
    NotInSwarmError,
    StaleVersionError,
    UnavailableError,
)
from common.model.cluster import Cluster, ClusterSpec, RootCa
from common.model.node import ManagerStatus, Reachability
from common.pki.lock import Lock
from common.pki.tokens import new_token
from manager.api.access import manager_of, state_of
from manager.api.errors import out_of_sequence, swarm_exists
from manager.api.parse.cluster_spec import (
    parse_cluster_spec,
    parse_init_request,
    parse_join_request,
)
from manager.api.parse.raw import body_object, member
from manager.api.ports import LocalState, SwarmNode
from manager.api.render.cluster import render_swarm
from manager.api.standing import has_leader
from manager.ca.asked_root import asked_root, changes_root, kept
from manager.ca.removal import longest_life
from manager.store.changes import Update
from manager.store.state import State

NOT_IN_SWARM = "This node is not part of a swarm"
_NOT_A_MANAGER = "This node is not participating as a Swarm manager"
_LEAVING_AS_MANAGER = (
    "You are attempting to leave the swarm on a node that is participating as a manager. "
)
_LAST_MANAGER = (
    "Removing the last manager erases all current state of the swarm. "
    "Use `--force` to ignore this message. "
)
_LOST_CONSENSUS = (
    "The only way to restore a swarm that has lost consensus is to reinitialize it with "
    "`--force-new-cluster`. Use `--force` to suppress this message."
)
_NOT_LOCKED = "swarm is not locked"
_LOCKED = (
    "Swarm is encrypted and locked. Please unlock it first or use `--force` to ignore this message."
)
_ROTATIONS = {"worker": "rotateWorkerToken", "manager": "rotateManagerToken"}


class Swarm:
    """The handlers of ``/swarm``."""

    def __init__(self, node: SwarmNode, clock: Clock) -> None:
        self._node, self._clock = node, clock

    async def inspect(self, _request: web.Request) -> web.Response:
        """``GET /swarm``."""
        return json_response(render_swarm(_cluster(state_of(self._node))))

    async def init(self, request: web.Request) -> web.Response:
        """``POST /swarm/init``."""
        asked = parse_init_request(await read_json(request))
        if self._node.local_state() is not LocalState.INACTIVE:
            if not asked.force_new_cluster:
                raise swarm_exists()
            if self._node.local_state() is LocalState.LOCKED:
                manager_of(self._node)  # says so
            if self._node.manager is None:
                raise UnavailableError(_NOT_A_MANAGER)
        return json_response(await self._node.init(asked))

    async def join(self, request: web.Request) -> web.Response:
        """``POST /swarm/join``."""
        asked = parse_join_request(await read_json(request))
        if self._node.local_state() is not LocalState.INACTIVE:
            raise swarm_exists()
        await self._node.join(asked)
        return web.Response()

    async def leave(self, request: web.Request) -> web.Response:
        """``POST /swarm/leave``."""
        force = flag(request, "force")
        if self._node.local_state() is LocalState.INACTIVE:
            raise NotInSwarmError(NOT_IN_SWARM)
        if self._node.manager is not None and not force:
            raise UnavailableError(_why_a_manager_stays(self._node.manager.managers()))
        if self._node.local_state() is LocalState.LOCKED and not force:
            raise UnavailableError(_LOCKED)
        await self._node.leave(force=force)
        return web.Response()

    async def unlock(self, request: web.Request) -> web.Response:
        """``POST /swarm/unlock``."""
        body = body_object(await read_json(request))
        if self._node.local_state() is not LocalState.LOCKED:
            manager_of(self._node)
            raise ConflictError(_NOT_LOCKED)
        await self._node.unlock(parse(str, member(body, "UnlockKey") or "", "UnlockKey"))
        return web.Response()

    async def unlock_key(self, _request: web.Request) -> web.Response:
        """``GET /swarm/unlockkey``: "" where managers are not locked."""
        return json_response({"UnlockKey": _cluster(state_of(self._node)).unlock_key})

    async def update(self, request: web.Request) -> web.Response:
        """``POST /swarm/update``."""
        store = manager_of(self._node).store
        version = integer(request, "version")
        body = await read_json(request)
        cluster = _cluster(store.state)
        asked = parse_cluster_spec(body, cluster.spec)
        if version != cluster.version:
            raise out_of_sequence()
        changed = await self._with_authority(cluster, asked)
        for role, name in _ROTATIONS.items():
            if flag(request, name):
                changed = replace(changed, root_ca=_with_new_token(changed.root_ca, role))
        rotates = flag(request, "rotateManagerUnlockKey")
        changed = replace(changed, unlock_key=_unlock_key(changed, rotates=rotates))
        try:
            await store.propose([Update(object=changed)])
        except StaleVersionError:
            raise out_of_sequence() from None
        return web.Response()

    async def _with_authority(self, cluster: Cluster, asked: ClusterSpec) -> Cluster:
        """The cluster with this spec; where it asks for another root, with what begins the change to it."""
        root, config = cluster.root_ca, asked.ca_config
        if changes_root(cluster.spec.ca_config, config):
            root = await asyncio.to_thread(asked_root, root, config, self._clock.now())
        return replace(
            cluster,
            spec=replace(asked, ca_config=kept(config)),
            root_ca=root,
            longest_cert_seconds=max(longest_life(cluster), config.node_cert_expiry_seconds),
        )


def _with_new_token(root_ca: RootCa, role: str) -> RootCa:
    token = str(new_token(root_ca.certificate))
    if role == "worker":
        return replace(root_ca, worker_token=token)
    return replace(root_ca, manager_token=token)


def _unlock_key(cluster: Cluster, *, rotates: bool) -> str:
    """What its managers are to be locked with from now on."""
    if not cluster.spec.encryption_config.auto_lock_managers:
        return ""
    return Lock.new().text if rotates or not cluster.unlock_key else cluster.unlock_key


def _cluster(state: State) -> Cluster:
    cluster = state.cluster()
    if cluster is None:
        raise NotFoundError("swarm not found")
    return cluster


def _why_a_manager_stays(managers: Mapping[str, ManagerStatus]) -> str:
    reachable = sum(one.reachability is Reachability.REACHABLE for one in managers.values())
    if len(managers) <= 1:
        return _LEAVING_AS_MANAGER + _LAST_MANAGER
    if not has_leader(managers):
        return _LEAVING_AS_MANAGER + _LOST_CONSENSUS
    if reachable - 2 <= len(managers) - reachable:  # Docker's rule
        return (
            f"{_LEAVING_AS_MANAGER}Removing this node leaves {reachable - 1} managers "
            f"out of {len(managers)}. Without a Raft quorum your swarm will be inaccessible. "
            + _LOST_CONSENSUS
        )
    return _LEAVING_AS_MANAGER + _LOST_CONSENSUS
