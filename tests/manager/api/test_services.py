"""Services through the API: made, shown, changed, rolled back, removed."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from common.model.container_spec import ContainerSpec
from common.model.endpoint import Endpoint
from common.model.node import NodeState, NodeStatus
from common.model.service import Global, Replicated, Service, ServiceSpec, UpdateState, UpdateStatus
from common.model.task import TaskSpec, TaskState
from manager.api import services
from manager.api.names import ADJECTIVES, NOUNS
from manager.store.changes import Delete, Update
from tests.support.api_swarm import NOW, ApiSwarm, service_body, task_of
from tests.support.fake_clock import settle
from tests.support.fake_swarm import NODE_ID

TAKEN = (
    "rpc error: code = AlreadyExists desc = name conflicts with an existing object: "
    "service {} already exists"
)
SEQUENCE = "rpc error: code = Unknown desc = update out of sequence"


async def test_creates_a_service(swarm: ApiSwarm) -> None:
    status, body = await swarm.call("POST", "/services/create", json=service_body())
    service = swarm.service()
    assert (status, body) == (201, {"ID": service.id, "Warnings": []})
    assert service.spec == ServiceSpec(
        name="web", task_template=TaskSpec(container_spec=ContainerSpec(image="hello:1"))
    )


async def test_gives_a_name_to_a_service_without_one(swarm: ApiSwarm) -> None:
    service_id = await swarm.create(name="")
    adjective, noun = swarm.service(service_id).spec.name.split("_")
    assert adjective in ADJECTIVES
    assert noun in NOUNS


WARNED = {
    "an image that is here": ("hello:1", {}, "", 0),
    "an image that is not": ("x:1", {}, "", 1),
    "to docker, which warns by itself": ("x:1", {"User-Agent": "Docker-Client/28.2.2"}, "", 0),
    "to a docker too old to": ("x:1", {"User-Agent": "Docker-Client/17.0"}, "/v1.29", 1),
}


@pytest.mark.parametrize(("image", "headers", "prefix", "count"), WARNED.values(), ids=WARNED)
async def test_warns_of_an_image_that_cannot_be_resolved(
    swarm: ApiSwarm, image: str, headers: dict[str, str], prefix: str, count: int
) -> None:
    path = prefix + "/services/create"
    _, body = await swarm.call("POST", path, json=service_body(image=image), headers=headers)
    assert len(body["Warnings"]) == count
    for warning in body["Warnings"]:
        assert warning.startswith("image x:1 could not be accessed on a registry to record\nits")


async def test_refuses_a_name_that_is_taken_in_any_case(swarm: ApiSwarm) -> None:
    await swarm.create()
    for name in ("web", "WEB"):
        assert await swarm.call("POST", "/services/create", json=service_body(name)) == (
            409,
            TAKEN.format(name),
        )


async def test_refuses_a_port_that_another_service_publishes(swarm: ApiSwarm) -> None:
    first = await swarm.create(port=8080)
    taken = f"port '8080' is already in use by service 'web' ({first}) as an ingress port"
    body = service_body("db", port=8080)
    assert await swarm.call("POST", "/services/create", json=body) == (400, taken)
    second = await swarm.create(name="db")
    path = f"/services/db/update?version={swarm.service('db').version}"
    assert await swarm.call("POST", path, json=body) == (400, taken)
    assert swarm.service(second).spec.endpoint_spec is None


async def test_a_service_is_not_in_the_way_of_its_own_port(swarm: ApiSwarm) -> None:
    await swarm.create(port=8080)
    body = service_body(port=8080, image="hello:2")
    path = f"/services/web/update?version={swarm.service().version}"
    assert (await swarm.call("POST", path, json=body))[0] == 200


async def test_an_update_keeps_what_it_replaces(swarm: ApiSwarm) -> None:
    await swarm.create()
    before = swarm.service()
    path = f"/services/{before.id}/update?version={before.version}&registryAuthFrom=spec"
    status, body = await swarm.call("POST", path, json=service_body(image="hello:2"))
    after = swarm.service()
    assert (status, len(body["Warnings"])) == (200, 1)
    assert after.previous_spec == before.spec
    assert after.previous_spec_version == before.spec_version
    assert after.spec_version > before.spec_version
    assert after.update_status is None


async def test_an_update_warns_only_of_a_new_image(swarm: ApiSwarm) -> None:
    await swarm.create(image="x:1")
    path = f"/services/web/update?version={swarm.service().version}"
    body = service_body(image="x:1", Mode={"Replicated": {"Replicas": 3}})
    assert await swarm.call("POST", path, json=body) == (200, {"Warnings": []})


async def test_an_update_without_a_name_keeps_it(swarm: ApiSwarm) -> None:
    await swarm.create()
    path = f"/services/web/update?version={swarm.service().version}"
    assert (await swarm.call("POST", path, json=service_body("")))[0] == 200
    assert swarm.service().spec.name == "web"


async def test_defaults_sent_back_change_no_task(swarm: ApiSwarm) -> None:
    await swarm.create()
    before = swarm.service()
    shown = await swarm.get("/services/web", insertDefaults="true")
    body = {**shown["Spec"], "Mode": {"Replicated": {"Replicas": 3}}}
    path = f"/services/web/update?version={before.version}"
    assert (await swarm.call("POST", path, json=body))[0] == 200
    after = swarm.service()
    assert after.spec.mode == Replicated(replicas=3)
    assert after.spec.task_template == before.spec.task_template


REFUSED: dict[str, tuple[str, Any, int, str]] = {
    "of an old version": ("version=1", service_body(), 500, SEQUENCE),
    "of no version": ("", service_body(), 400, "parameter version is missing"),
    "of another mode": (
        "version={}",
        service_body(Mode={"Global": {}}),
        501,
        "service mode change is not allowed",
    ),
    "of the name": ("version={}", service_body("db"), 501, "renaming services is not supported"),
    "with credentials from nowhere": (
        "version={}&registryAuthFrom=x",
        service_body(),
        400,
        "unsupported registryAuthFrom value",
    ),
    "back to some other spec": (
        "version={}&rollback=next",
        service_body(),
        400,
        "unrecognized rollback option next",
    ),
}


@pytest.mark.parametrize(("query", "body", "status", "message"), REFUSED.values(), ids=REFUSED)
async def test_refuses_an_update(
    swarm: ApiSwarm, query: str, body: Any, status: int, message: str
) -> None:
    await swarm.create()
    before = swarm.service()
    path = f"/services/web/update?{query.format(before.version)}"
    assert await swarm.call("POST", path, json=body) == (status, message)
    assert swarm.service() == before


async def test_one_of_two_updates_of_the_same_version_is_refused(swarm: ApiSwarm) -> None:
    await swarm.create()
    path = f"/services/web/update?version={swarm.service().version}"
    body = service_body(image="hello:2")
    assert (await swarm.call("POST", path, json=body))[0] == 200
    assert await swarm.call("POST", path, json=body) == (500, SEQUENCE)


async def test_rolls_back_to_the_previous_spec(swarm: ApiSwarm) -> None:
    await swarm.create()
    first = swarm.service().spec
    path = f"/services/web/update?version={swarm.service().version}"
    await swarm.call("POST", path, json=service_body(image="hello:2"))
    second = swarm.service()
    path = f"/services/web/update?version={second.version}&rollback=previous"
    assert await swarm.call("POST", path, json={}) == (200, {"Warnings": []})
    service = swarm.service()
    assert (service.spec, service.previous_spec) == (first, second.spec)
    assert service.update_status == UpdateStatus(
        state=UpdateState.ROLLBACK_STARTED, started_at=NOW, message="manually requested rollback"
    )


async def test_cannot_roll_back_what_was_never_updated(swarm: ApiSwarm) -> None:
    service_id = await swarm.create()
    path = f"/services/web/update?version={swarm.service().version}&rollback=previous"
    assert await swarm.call("POST", path, json={}) == (
        400,
        f"service {service_id} does not have a previous spec",
    )


async def test_removes_a_service(swarm: ApiSwarm) -> None:
    service_id = await swarm.create()
    assert await swarm.call("DELETE", f"/services/{service_id[:5]}") == (200, "")
    assert await swarm.call("DELETE", "/services/web") == (404, "service web not found")


async def test_shows_a_service(swarm: ApiSwarm) -> None:
    service_id = await swarm.create(port=8080)
    assert await swarm.get("/services/web") == {
        "ID": service_id,
        "Version": {"Index": swarm.service().version},
        "CreatedAt": "2023-11-14T22:13:20.000000000Z",
        "UpdatedAt": "2023-11-14T22:13:20.000000000Z",
        "Spec": {
            "Name": "web",
            "Labels": {},
            "TaskTemplate": {
                "ContainerSpec": {"Image": "hello:1", "Labels": {}, "OomScoreAdj": 0},
                "ForceUpdate": 0,
                "Runtime": "container",
            },
            "Mode": {"Replicated": {"Replicas": 1}},
            "EndpointSpec": {
                "Mode": "vip",
                "Ports": [
                    {
                        "Protocol": "tcp",
                        "TargetPort": 80,
                        "PublishedPort": 8080,
                        "PublishMode": "ingress",
                    }
                ],
            },
        },
        "Endpoint": {"Spec": {"Mode": "vip"}},
    }


async def test_shows_how_an_update_stands(swarm: ApiSwarm) -> None:
    await swarm.create()
    status = UpdateStatus(state=UpdateState.UPDATING, started_at=NOW, message="update in progress")
    await swarm.store.propose([Update(object=replace(swarm.service(), update_status=status))])
    assert (await swarm.get("/services/web"))["UpdateStatus"] == {
        "State": "updating",
        "StartedAt": "2023-11-14T22:13:20.000000000Z",
        "Message": "update in progress",
    }


async def test_inserts_defaults_when_asked(swarm: ApiSwarm) -> None:
    await swarm.create()
    spec = (await swarm.get("/services/web", insertDefaults="true"))["Spec"]
    template = spec["TaskTemplate"]
    assert template["ContainerSpec"]["StopGracePeriod"] == 10_000_000_000
    assert template["RestartPolicy"] == {
        "Condition": "any",
        "Delay": 5_000_000_000,
        "MaxAttempts": 0,
    }
    assert template["Resources"] == {"Limits": {}, "Reservations": {}}
    assert template["Placement"] == {}
    assert spec["UpdateConfig"] == {
        "Parallelism": 1,
        "Delay": 0,
        "FailureAction": "pause",
        "Monitor": 5_000_000_000,
        "MaxFailureRatio": 0.0,
        "Order": "stop-first",
    }
    assert spec["RollbackConfig"] == spec["UpdateConfig"]


FILTERS = {
    "nothing": ({}, ["web", "worker", "db"]),
    "a beginning of names": ({"name": ["w"]}, ["web", "worker"]),
    "a label": ({"label": ["tier=front"]}, ["web"]),
    "a mode": ({"mode": ["global"]}, ["db"]),
    "two filters at once": ({"name": ["w"], "mode": ["global"]}, []),
    "a runtime": ({"runtime": ["plugin"]}, []),
}


@pytest.mark.parametrize(("filters", "expected"), FILTERS.values(), ids=FILTERS)
async def test_lists_what_the_filters_let_through(
    swarm: ApiSwarm, filters: Any, expected: list[str]
) -> None:
    await swarm.create(name="web", Labels={"tier": "front"})
    await swarm.create(name="worker")
    await swarm.create(name="db", Mode={"Global": {}})
    listed = await swarm.get("/services", filters=json.dumps(filters))
    assert [service["Spec"]["Name"] for service in listed] == expected


async def test_counts_tasks_when_asked(swarm: ApiSwarm) -> None:
    service = Service(
        id="s1", spec=ServiceSpec(name="web", mode=Replicated(replicas=3), task_template=TaskSpec())
    )
    agent = Service(id="s2", spec=ServiceSpec(name="agent", mode=Global()))
    await swarm.add(service, agent)
    await swarm.add(
        task_of(service, 1, node_id=NODE_ID),
        task_of(service, 2, node_id=NODE_ID, state=TaskState.STARTING),
        task_of(service, 3, node_id="gone"),
        task_of(service, 4, node_id=NODE_ID, state=TaskState.COMPLETE, desired=TaskState.SHUTDOWN),
        task_of(agent, 1, node_id=NODE_ID),
        task_of(agent, 2, node_id=NODE_ID, desired=TaskState.SHUTDOWN, state=TaskState.SHUTDOWN),
    )
    listed = await swarm.get("/services", status="true")
    assert {one["Spec"]["Name"]: one["ServiceStatus"] for one in listed} == {
        "web": {"RunningTasks": 1, "DesiredTasks": 3, "CompletedTasks": 0},
        "agent": {"RunningTasks": 1, "DesiredTasks": 1, "CompletedTasks": 0},
    }


async def test_tasks_on_a_node_that_is_down_do_not_count_as_running(swarm: ApiSwarm) -> None:
    service = Service(id="s1", spec=ServiceSpec(name="web"))
    await swarm.add(service, task_of(service, 1, node_id=NODE_ID))
    down = replace(swarm.store.state.nodes[NODE_ID], status=NodeStatus(state=NodeState.DOWN))
    await swarm.store.propose([Update(object=down)])
    listed = await swarm.get("/services", status="1")
    assert listed[0]["ServiceStatus"]["RunningTasks"] == 0


async def test_a_service_removed_meanwhile_is_not_found(swarm: ApiSwarm) -> None:
    service_id = await swarm.create()
    version = swarm.service().version
    await swarm.store.propose([Delete(table="service", id=service_id)])
    path = f"/services/{service_id}/update?version={version}"
    assert await swarm.call("POST", path, json=service_body()) == (
        404,
        f"service {service_id} not found",
    )


async def test_answers_once_the_ports_are_allocated(
    swarm: ApiSwarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "ALLOCATION_WAIT_SECONDS", 10.0)
    async with asyncio.TaskGroup() as group:
        creating = group.create_task(swarm.create(port=8080))
        async with swarm.store.watch() as watch:
            await anext(watch)
        made = swarm.service()
        assert made.spec.endpoint_spec is not None
        endpoint = Endpoint(spec=made.spec.endpoint_spec, ports=made.spec.endpoint_spec.ports)
        await settle()
        assert not creating.done()
        await swarm.store.propose([Update(object=replace(made, endpoint=endpoint))])
    assert (await swarm.get("/services/web"))["Version"]["Index"] == made.version + 1
