"""Nodes through the API."""

import asyncio
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
from tests.support.fake_swarm import NODE_ID, ready_node, standing

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


async def test_a_follower_shows_every_manager_as_it_stands_and_no_worker(swarm: ApiSwarm) -> None:
    others = {
        "second": standing("192.0.2.2", leader=True),
        "third": standing("192.0.2.3", reachable=False),
    }
    await swarm.add(WORKER, *(ready_node(name, hostname=name) for name in others))
    swarm.manager.standing = {NODE_ID: standing("192.0.2.1"), **others}
    shown = {node["ID"]: node.get("ManagerStatus") for node in await swarm.get("/nodes")}
    assert shown == {
        WORKER.id: None,
        NODE_ID: {"Reachability": "reachable", "Addr": "192.0.2.1:2377"},
        "second": {"Leader": True, "Reachability": "reachable", "Addr": "192.0.2.2:2377"},
        "third": {"Reachability": "unreachable", "Addr": "192.0.2.3:2377"},
    }
    assert (await swarm.get("/nodes/third"))["ManagerStatus"] == shown["third"]


DEMOTE = {**SPEC, "Role": "worker"}
MANY = dict.fromkeys(("b", "c", "d", "e"), True)
DEMOTIONS: dict[str, tuple[dict[str, bool], str, tuple[int, str]]] = {
    "the last": ({}, "host", (400, "attempting to demote the last manager of the swarm")),
    "one of two": ({"b": True}, "b", (200, "")),
    "a dead one of two (if they had a leader)": ({"b": False}, "b", (200, "")),
    "a dead one of three": ({"b": True, "c": False}, "c", (200, "")),
    "one that lives, of three with a dead one": (
        {"b": True, "c": False},
        "b",
        (400, "can't remove member from the raft: this would result in a loss of quorum"),
    ),
    "one of five with two dead": (
        {**MANY, "b": False, "c": False},
        "d",
        (400, "can't remove member from the raft: this would result in a loss of quorum"),
    ),
    "a dead one of five": ({**MANY, "b": False}, "b", (200, "")),
}


@pytest.mark.parametrize(("others", "demoted", "expected"), DEMOTIONS.values(), ids=DEMOTIONS)
async def test_demotes_as_long_as_the_rest_can_agree(
    swarm: ApiSwarm, others: dict[str, bool], demoted: str, expected: tuple[int, str]
) -> None:
    """Others by name, and whether they are reachable. This node is, too."""
    await swarm.add(*(ready_node(name, hostname=name) for name in others))
    swarm.manager.standing |= {
        name: standing("192.0.2.9", reachable=reachable) for name, reachable in others.items()
    }
    version = swarm.store.state.find_node(demoted).version
    path = f"/nodes/{demoted}/update?version={version}"
    assert await swarm.call("POST", path, json=DEMOTE) == expected
    role = Role.WORKER if expected[0] == 200 else Role.MANAGER
    assert swarm.store.state.find_node(demoted).spec.role is role


async def test_a_promotion_can_be_taken_back_before_the_node_has_joined_the_managers(
    swarm: ApiSwarm,
) -> None:
    await swarm.add(WORKER)
    node = swarm.store.state.nodes[WORKER.id]
    path = f"/nodes/{node.id}/update?version="
    assert await swarm.call("POST", f"{path}{node.version}", json=SPEC) == (200, "")
    node = swarm.store.state.nodes[WORKER.id]
    assert node.spec.role is Role.MANAGER
    assert await swarm.call("POST", f"{path}{node.version}", json=DEMOTE) == (200, "")
    assert swarm.store.state.nodes[WORKER.id].spec.role is Role.WORKER


async def test_of_two_demotions_at_once_that_would_leave_no_manager_one_is_refused(
    swarm: ApiSwarm,
) -> None:
    await swarm.add(ready_node("b", hostname="b"))
    swarm.manager.standing["b"] = standing("192.0.2.2")
    paths = [
        f"/nodes/{node.id}/update?version={node.version}"
        for node in swarm.store.state.nodes.values()
    ]
    answers = await asyncio.gather(*(swarm.call("POST", path, json=DEMOTE) for path in paths))
    assert sorted(answers) == [
        (200, ""),
        (400, "attempting to demote the last manager of the swarm"),
    ]


async def test_removes_a_manager_only_when_it_is_no_member_any_more(swarm: ApiSwarm) -> None:
    gone = replace(ready_node("b", hostname="b"), status=NodeStatus(state=NodeState.DOWN))
    await swarm.add(gone)
    swarm.manager.standing["b"] = standing("192.0.2.2", reachable=False)
    status, message = await swarm.call("DELETE", "/nodes/b")
    assert (status, message) == (
        400,
        (
            "node b is a cluster manager and is a member of the raft cluster. "
            "It must be demoted to worker before removal"
        ),
    )
    del swarm.manager.standing["b"]
    assert await swarm.call("DELETE", "/nodes/b") == (200, "")


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
    cluster = swarm.store.state.cluster()
    assert cluster is not None
    assert set(cluster.removed_nodes) == {WORKER.id, down.id}, "their certificates are refused"


async def test_keeps_a_manager(swarm: ApiSwarm) -> None:
    status, message = await swarm.call("DELETE", "/nodes/host?force=true")
    assert (status, message.split(" is ")[0]) == (400, f"node {NODE_ID}")
