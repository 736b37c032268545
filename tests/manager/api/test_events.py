"""``GET /events`` and what the cluster tells there."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from common.engine_api import streaming
from common.model.container_spec import ContainerSpec
from common.model.node import Availability, NodeSpec, NodeState, NodeStatus, Role
from common.model.service import (
    Replicated,
    Service,
    ServiceSpec,
    UpdateState,
    UpdateStatus,
)
from common.model.task import TaskSpec
from manager.api.swarm_events import events_of, tell_swarm_events
from manager.store.watch import Changed
from tests.support.api_swarm import NOW, ApiSwarm, task_of
from tests.support.builders import config, secret
from tests.support.fake_clock import settle
from tests.support.fake_swarm import ready_node

CONTAINER = {"name": "web.1.x", "image": "hello:1", "com.docker.swarm.service.name": "web"}


def _tell(swarm: ApiSwarm) -> None:
    swarm.events.tell("container", "start", "c1", CONTAINER)
    swarm.events.tell("container", "health_status: healthy", "c1", CONTAINER)
    swarm.events.tell("image", "load", "sha256:abc", {"name": "hello:1"})
    swarm.events.tell("service", "create", "s1", {"name": "web"}, scope="swarm")
    swarm.events.tell("node", "update", "n1", {"name": "host"}, scope="swarm")


async def _events(swarm: ApiSwarm, **query: str) -> list[Any]:
    answer = await swarm.client.get("/events", params=query)
    assert answer.status == 200
    return [json.loads(line) for line in (await answer.text()).splitlines()]


FILTERS: dict[str, tuple[Any, list[str]]] = {
    "nothing": ({}, ["start", "health_status: healthy", "load", "create", "update"]),
    "a type": ({"type": ["service", "image"]}, ["load", "create"]),
    "an action": ({"event": ["start"]}, ["start"]),
    "an action that goes on": ({"event": ["health_status"]}, ["health_status: healthy"]),
    "a scope": ({"scope": ["swarm"]}, ["create", "update"]),
    "a service": ({"service": ["we"], "type": ["service"]}, ["create"]),
    "a node by id": ({"node": ["n1"]}, ["update"]),
    "a container by name": ({"container": ["web.1"]}, ["start", "health_status: healthy"]),
    "an image with its tag": (
        {"image": ["hello:1"]},
        ["start", "health_status: healthy", "load"],
    ),
    "an image without": ({"image": ["hello"]}, ["start", "health_status: healthy", "load"]),
    "a label": (
        {"label": ["com.docker.swarm.service.name=web"]},
        ["start", "health_status: healthy"],
    ),
    "what nobody did": ({"event": ["die"]}, []),
}


@pytest.mark.parametrize(("filters", "expected"), FILTERS.values(), ids=FILTERS)
async def test_shows_what_the_filters_let_through(
    swarm: ApiSwarm, filters: Any, expected: list[str]
) -> None:
    _tell(swarm)
    shown = await _events(swarm, until=str(NOW), filters=json.dumps(filters))
    assert [event["Action"] for event in shown] == expected


async def test_refuses_an_unknown_filter(swarm: ApiSwarm) -> None:
    status, message = await swarm.call("GET", "/events", params={"filters": '{"kind": ["x"]}'})
    assert (status, message[:21]) == (400, "invalid filter 'kind'")


async def test_shows_an_event_in_full(swarm: ApiSwarm) -> None:
    swarm.events.tell("container", "start", "c1", CONTAINER)
    swarm.events.tell("service", "create", "s1", {"name": "web"}, scope="swarm")
    moment = {"time": int(NOW), "timeNano": int(NOW) * 10**9}
    assert await _events(swarm, until=str(NOW)) == [
        {
            "status": "start",
            "id": "c1",
            "from": "hello:1",
            "Type": "container",
            "Action": "start",
            "Actor": {"ID": "c1", "Attributes": CONTAINER},
            "scope": "local",
            **moment,
        },
        {
            "Type": "service",
            "Action": "create",
            "Actor": {"ID": "s1", "Attributes": {"name": "web"}},
            "scope": "swarm",
            **moment,
        },
    ]


async def test_shows_only_what_happened_since(swarm: ApiSwarm) -> None:
    _tell(swarm)
    await swarm.clock.advance(10)
    swarm.events.tell("service", "remove", "s1", {"name": "web"}, scope="swarm")
    shown = await _events(swarm, since=str(NOW + 5), until=str(NOW + 10))
    assert [event["Action"] for event in shown] == ["remove"]


async def test_goes_on_with_what_happens_until_the_client_leaves(
    swarm: ApiSwarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "DISCONNECT_CHECK_SECONDS", 0.01)
    _tell(swarm)
    answer = await swarm.client.get("/events", params={"filters": '{"type": ["service"]}'})
    await settle()
    assert swarm.events.readers == 1
    swarm.events.tell("service", "remove", "s1", {"name": "web"}, scope="swarm")
    event = json.loads(await answer.content.readline())
    assert event["Action"] == "remove"
    answer.close()
    await asyncio.sleep(2 * streaming.DISCONNECT_CHECK_SECONDS)
    assert swarm.events.readers == 0


SERVICE = Service(
    id="s1",
    spec=ServiceSpec(
        name="web",
        mode=Replicated(replicas=1),
        task_template=TaskSpec(container_spec=ContainerSpec(image="hello:1")),
    ),
)
UPDATED = replace(
    SERVICE,
    spec=replace(
        SERVICE.spec,
        mode=Replicated(replicas=3),
        task_template=TaskSpec(container_spec=ContainerSpec(image="hello:2")),
    ),
    update_status=UpdateStatus(state=UpdateState.UPDATING),
)
NODE = ready_node("n1")
WORDS: dict[str, tuple[Changed, list[Any]]] = {
    "a service is made": (
        Changed(None, SERVICE),
        [("service", "create", "s1", {"name": "web"})],
    ),
    "a service is removed": (
        Changed(SERVICE, None),
        [("service", "remove", "s1", {"name": "web"})],
    ),
    "a service is changed": (
        Changed(SERVICE, UPDATED),
        [
            (
                "service",
                "update",
                "s1",
                {
                    "name": "web",
                    "image.old": "hello:1",
                    "image.new": "hello:2",
                    "replicas.old": "1",
                    "replicas.new": "3",
                    "updatestate.new": "updating",
                },
            )
        ],
    ),
    "a node is drained": (
        Changed(
            NODE,
            replace(NODE, spec=NodeSpec(role=Role.MANAGER, availability=Availability.DRAIN)),
        ),
        [
            (
                "node",
                "update",
                "n1",
                {"name": "host", "availability.old": "active", "availability.new": "drain"},
            )
        ],
    ),
    "a node is lost": (
        Changed(NODE, replace(NODE, status=NodeStatus(state=NodeState.DOWN))),
        [
            (
                "node",
                "update",
                "n1",
                {"name": "host", "state.old": "ready", "state.new": "down"},
            )
        ],
    ),
    "a secret is made": (
        Changed(None, secret("key")),
        [("secret", "create", "key", {"name": "key"})],
    ),
    "a config gets a label": (
        Changed(config("conf"), config("conf", labels={"a": "b"})),
        [("config", "update", "conf", {"name": "conf"})],
    ),
    "a secret is removed": (
        Changed(secret("key"), None),
        [("secret", "remove", "key", {"name": "key"})],
    ),
    "a task is nobody's concern": (Changed(None, task_of(SERVICE, 1)), []),
}


@pytest.mark.parametrize(("changed", "expected"), WORDS.values(), ids=WORDS)
def test_tells(changed: Changed, expected: list[Any]) -> None:
    assert list(events_of(changed)) == expected


async def test_the_cluster_tells_what_is_committed(swarm: ApiSwarm) -> None:
    async with asyncio.TaskGroup() as group:
        telling = group.create_task(tell_swarm_events(swarm.store, swarm.events))
        await settle()
        await swarm.create()
        await swarm.call("DELETE", "/services/web")
        await settle()
        telling.cancel()
    shown = await _events(swarm, until=str(NOW))
    assert [(event["Type"], event["Action"], event["scope"]) for event in shown] == [
        ("service", "create", "swarm"),
        ("service", "remove", "swarm"),
    ]
