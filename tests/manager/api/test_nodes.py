"""Nodes through the API."""

import json
from dataclasses import replace
from typing import Any

import pytest

from common.model.node import (
    Availability,
    Engine,
    Node,
    NodeDescription,
    NodeSpec,
    NodeState,
    NodeStatus,
    Role,
)
from tests.support.api_swarm import ApiSwarm
from tests.support.fake_swarm import NODE_ID

WORKER = Node(
    id="w" * 25,
    spec=NodeSpec(labels={"zone": "b"}, availability=Availability.DRAIN),
    description=NodeDescription(hostname="second", engine=Engine(labels={"disk": "ssd"})),
    status=NodeStatus(state=NodeState.READY),
)
SPEC = {"Role": "manager", "Availability": "pause", "Labels": {"a": "b"}}

FILTERS: dict[str, tuple[Any, list[str]]] = {
    "nothing": ({}, ["host", "second"]),
    "a beginning of names": ({"name": ["sec"]}, ["second"]),
    "a beginning of ids": ({"id": ["n"]}, ["host"]),
    "a role": ({"role": ["worker"]}, ["second"]),
    "a membership": ({"membership": ["pending"]}, []),
    "a label of the engine": ({"label": ["disk=ssd"]}, ["second"]),
    "a label of the node": ({"node.label": ["zone"]}, ["second"]),
}


@pytest.mark.parametrize(("filters", "expected"), FILTERS.values(), ids=FILTERS)
async def test_lists_what_the_filters_let_through(
    swarm: ApiSwarm, filters: Any, expected: list[str]
) -> None:
    await swarm.add(WORKER)
    listed = await swarm.get("/nodes", filters=json.dumps(filters))
    assert [node["Description"]["Hostname"] for node in listed] == expected


async def test_refuses_a_role_that_is_none(swarm: ApiSwarm) -> None:
    query = {"filters": json.dumps({"role": ["king"]})}
    assert await swarm.call("GET", "/nodes", params=query) == (400, "invalid role filter: 'king'")


async def test_shows_a_node(swarm: ApiSwarm) -> None:
    shown = await swarm.get("/nodes/host")
    assert shown["ID"] == NODE_ID
    assert shown["Spec"] == {"Labels": {}, "Role": "manager", "Availability": "active"}
    assert shown["Status"] == {"State": "ready", "Addr": "192.0.2.1"}
    assert shown["ManagerStatus"] == {
        "Leader": True,
        "Reachability": "reachable",
        "Addr": "192.0.2.1:2377",
    }


async def test_changes_a_node(swarm: ApiSwarm) -> None:
    version = swarm.store.state.nodes[NODE_ID].version
    path = f"/nodes/host/update?version={version}"
    assert await swarm.call("POST", path, json=SPEC) == (200, "")
    assert swarm.store.state.nodes[NODE_ID].spec == NodeSpec(
        labels={"a": "b"}, role=Role.MANAGER, availability=Availability.PAUSE
    )
    assert await swarm.call("POST", path, json=SPEC) == (
        500,
        "rpc error: code = Unknown desc = update out of sequence",
    )


async def test_refuses_to_change_roles(swarm: ApiSwarm) -> None:
    await swarm.add(WORKER)
    demote, promote = {**SPEC, "Role": "worker"}, SPEC
    assert await swarm.call("POST", "/nodes/host/update?version=1", json=demote) == (
        400,
        "attempting to demote the last manager of the swarm",
    )
    assert await swarm.call("POST", "/nodes/second/update?version=1", json=promote) == (
        501,
        "changing the role of a node is not implemented",
    )


async def test_removes_a_node_that_is_down_or_by_force(swarm: ApiSwarm) -> None:
    down = replace(WORKER, id="x" * 25, status=NodeStatus(state=NodeState.DOWN))
    await swarm.add(WORKER, down)
    assert await swarm.call("DELETE", f"/nodes/{WORKER.id}") == (
        400,
        f"node {WORKER.id} is not down and can't be removed",
    )
    assert await swarm.call("DELETE", f"/nodes/{WORKER.id}?force=1") == (200, "")
    assert await swarm.call("DELETE", f"/nodes/{down.id}") == (200, "")
    assert list(swarm.store.state.nodes) == [NODE_ID]


async def test_keeps_a_manager(swarm: ApiSwarm) -> None:
    status, message = await swarm.call("DELETE", "/nodes/host?force=true")
    assert (status, message.split(" is ")[0]) == (400, f"node {NODE_ID}")
