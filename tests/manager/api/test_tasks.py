"""Tasks through the API."""

import json
from dataclasses import replace
from typing import Any

import pytest

from common.engine_api.http import LIST_PART_ITEMS
from common.model.service import Service, ServiceSpec
from common.model.task import TaskSpec, TaskState
from tests.support.api_swarm import ApiSwarm, task_of
from tests.support.fake_swarm import NODE_ID, ready_node

WEB = Service(id="w" * 25, spec=ServiceSpec(name="web", labels={"tier": "front"}))
DB = Service(id="d" * 25, spec=ServiceSpec(name="db"))
OTHER = "o" * 25


async def _fill(swarm: ApiSwarm) -> None:
    await swarm.add(WEB, DB, ready_node(OTHER, hostname="other"))
    await swarm.add(
        task_of(swarm.service("web"), 1, node_id=NODE_ID),
        replace(
            task_of(WEB, 2, node_id=OTHER, desired=TaskState.SHUTDOWN),
            spec=TaskSpec(force_update=7),
        ),
        task_of(swarm.service("db"), 1, node_id=OTHER, state=TaskState.PENDING),
    )


FILTERS: dict[str, tuple[Any, list[str]]] = {
    "nothing": ({}, ["web1", "web2", "db1"]),
    "a service by name": ({"service": ["web"]}, ["web1", "web2"]),
    "a service by id": ({"service": {DB.id: True}}, ["db1"]),
    "two services": ({"service": ["db", "web"]}, ["db1", "web1", "web2"]),
    "a node by hostname": ({"node": ["other"]}, ["db1", "web2"]),
    "this node": ({"node": ["self"]}, ["web1"]),
    "a service on a node": ({"service": ["web"], "node": ["other"]}, ["web2"]),
    "a desired state": ({"desired-state": ["shutdown"]}, ["web2"]),
    "a beginning of names": ({"name": ["web.2"]}, ["web2"]),
    "a beginning of ids": ({"id": ["db"]}, ["db1"]),
    "a label of the service": ({"label": ["tier=front"]}, ["web1", "web2"]),
    "those of the present spec": ({"_up-to-date": ["true"], "service": ["web"]}, ["web1"]),
    "those of an older spec": ({"_up-to-date": ["false"], "service": ["web"]}, ["web2"]),
    "another runtime": ({"runtime": ["plugin"]}, []),
}
REFUSED = {
    "an unknown service": ({"service": ["nothing"]}, 404, "service nothing not found"),
    "an unknown node": ({"node": ["nowhere"]}, 404, "node nowhere not found"),
    "an unknown state": (
        {"desired-state": ["asleep"]},
        400,
        "invalid desired-state filter: 'asleep'",
    ),
    "an unknown filter": ({"state": ["running"]}, 400, "invalid filter 'state'"),
}


@pytest.mark.parametrize(("filters", "expected"), FILTERS.values(), ids=FILTERS)
async def test_lists_what_the_filters_let_through(
    swarm: ApiSwarm, filters: Any, expected: list[str]
) -> None:
    await _fill(swarm)
    listed = await swarm.get("/tasks", filters=json.dumps(filters))
    assert sorted(task["ID"].rstrip("-") for task in listed) == sorted(expected)


@pytest.mark.parametrize(("filters", "status", "expected"), REFUSED.values(), ids=REFUSED)
async def test_refuses_filters(swarm: ApiSwarm, filters: Any, status: int, expected: str) -> None:
    given = await swarm.call("GET", "/tasks", params={"filters": json.dumps(filters)})
    assert given[0] == status
    assert given[1].startswith(expected)


async def test_shows_a_task(swarm: ApiSwarm) -> None:
    await _fill(swarm)
    task = swarm.store.state.find_task("web1")
    shown = await swarm.get(f"/tasks/{task.id}")
    assert shown == {
        "ID": task.id,
        "Version": {"Index": task.version},
        "CreatedAt": "2023-11-14T22:13:20.000000000Z",
        "UpdatedAt": "2023-11-14T22:13:20.000000000Z",
        "Labels": {"tier": "front"},
        "Spec": {"ForceUpdate": 0, "Runtime": "container"},
        "ServiceID": WEB.id,
        "Slot": 1,
        "NodeID": NODE_ID,
        "Status": {
            "Timestamp": "2023-11-14T22:13:20.000000000Z",
            "State": "running",
            "Message": "started",
            "PortStatus": {},
        },
        "DesiredState": "running",
        "NetworksAttachments": [],
    }


async def test_there_is_no_such_task(swarm: ApiSwarm) -> None:
    assert await swarm.call("GET", "/tasks/nothing") == (404, "task nothing not found")


async def test_a_long_list_comes_in_parts(swarm: ApiSwarm) -> None:
    await swarm.add(WEB)
    count = 2 * LIST_PART_ITEMS + 1
    for start in range(1, count + 1, 100):
        slots = range(start, min(start + 100, count + 1))
        await swarm.add(*(task_of(WEB, slot, node_id=NODE_ID) for slot in slots))
    listed = await swarm.get("/tasks")
    assert [task["Slot"] for task in listed] == list(range(1, count + 1))
