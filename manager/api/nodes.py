"""Nodes: list, inspect, update, remove."""

import contextlib
from collections.abc import Mapping
from dataclasses import replace

from aiohttp import web

from common.clock import Clock
from common.engine_api.http import (
    filters,
    flag,
    integer,
    json_list_response,
    json_response,
    read_json,
)
from common.errors import (
    InvalidInputError,
    StaleVersionError,
)
from common.model.node import ManagerStatus, Node, NodeSpec, Role
from manager.api.access import manager_of, state_of
from manager.api.errors import out_of_sequence
from manager.api.filters import NODE_FILTERS, check_node_filters, shows_node
from manager.api.node_removal import remove_node
from manager.api.parse.node_spec import parse_node_spec
from manager.api.ports import SwarmNode
from manager.api.render.node import render_node
from manager.api.standing import can_lose
from manager.store.changes import Change, Update
from manager.store.state import State

ATTEMPTS_MAX = 4
"""Of a change of a node that meets a change of the cluster."""


class Nodes:
    """The handlers of ``/nodes``."""

    def __init__(self, node: SwarmNode, clock: Clock) -> None:
        self._node, self._clock = node, clock

    async def list(self, request: web.Request) -> web.StreamResponse:
        """``GET /nodes``."""
        state, wanted = state_of(self._node), filters(request, *NODE_FILTERS)
        check_node_filters(wanted)
        shown = [node for node in state.nodes.values() if shows_node(wanted, node)]
        managers = manager_of(self._node).managers()
        return await json_list_response(
            request, shown, lambda node: render_node(node, managers.get(node.id))
        )

    async def inspect(self, request: web.Request) -> web.Response:
        """``GET /nodes/{id}``."""
        manager = manager_of(self._node)
        node = manager.store.state.find_node(request.match_info["id"])
        return json_response(render_node(node, manager.managers().get(node.id)))

    async def update(self, request: web.Request) -> web.Response:
        """``POST /nodes/{id}/update``."""
        manager = manager_of(self._node)
        store = manager.store
        version = integer(request, "version")
        spec = parse_node_spec(await read_json(request))
        for _ in range(ATTEMPTS_MAX):
            node = store.state.find_node(request.match_info["id"])
            if spec.role is not node.spec.role:
                _check_role(store.state, node, spec.role, manager.managers())
            if version != node.version:
                break
            with contextlib.suppress(StaleVersionError):  # it may be that of the cluster alone
                await store.propose(_changes(store.state, node, spec))
                return web.Response()
        raise out_of_sequence()

    async def remove(self, request: web.Request) -> web.Response:
        """``DELETE /nodes/{id}``."""
        manager = manager_of(self._node)
        name = request.match_info["id"]

        def find(state: State) -> Node:
            node = state.find_node(name)
            if node.spec.role is Role.MANAGER and node.id in manager.managers():
                raise InvalidInputError(
                    f"node {node.id} is a cluster manager and is a member of the raft cluster. "
                    "It must be demoted to worker before removal"
                )
            return node

        force = flag(request, "force")
        await remove_node(manager.store, find, self._clock.now(), force=force)
        return web.Response()


def _changes(state: State, node: Node, spec: NodeSpec) -> list[Change]:
    """A demotion is decided on the whole list: it names the cluster's version, and of two at once one fails."""
    changes: list[Change] = [Update(object=replace(node, spec=spec))]
    cluster = state.cluster()
    if node.spec.role is Role.MANAGER and spec.role is Role.WORKER and cluster is not None:
        changes.append(Update(object=cluster))
    return changes


def _check_role(
    state: State, node: Node, wanted: Role, managers: Mapping[str, ManagerStatus]
) -> None:
    """Whether a node may get that role. What follows from it is the leader's and the node's own work.

    One that was promoted and has not joined the other managers yet may always be a worker again.
    """
    if wanted is Role.MANAGER:
        return
    if sum(one.spec.role is Role.MANAGER for one in state.nodes.values()) <= 1:
        raise InvalidInputError("attempting to demote the last manager of the swarm")
    if node.id in managers and not can_lose(managers, node.id):
        raise InvalidInputError(
            "can't remove member from the raft: this would result in a loss of quorum"
        )
