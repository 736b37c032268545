"""Logs of services and tasks through the API."""

import asyncio

import pytest

from common.engine_api.streams import STDERR, STDOUT, SYSTEM_ERROR, frame
from common.errors import NotLeaderError, UnavailableError
from common.model.container_spec import ContainerSpec
from common.model.service import Service, ServiceSpec
from common.model.task import Task, TaskSpec, TaskState
from common.protocol.messages import LogLine
from manager.api.ports import LogSelection
from manager.store.changes import Create, Delete
from tests.support.api_swarm import NOW, ApiSwarm, task_of
from tests.support.fake_swarm import NODE_ID, standing

WEB = Service(
    id="w" * 25,
    spec=ServiceSpec(
        name="web", task_template=TaskSpec(container_spec=ContainerSpec(image="hello:1"))
    ),
)
FIRST = task_of(WEB, 1, node_id=NODE_ID)
SECOND = task_of(WEB, 2, node_id=NODE_ID)
UNPLACED = task_of(WEB, 3, state=TaskState.PENDING)


def _line(task: Task, data: bytes, stream: str = "stdout") -> LogLine:
    return LogLine(task_id=task.id, stream=stream, at=NOW, data=data)


async def _fill(swarm: ApiSwarm) -> None:
    await swarm.add(WEB)
    await swarm.add(FIRST, SECOND, UNPLACED)
    swarm.manager.logs.lines = [
        _line(FIRST, b"one\n"),
        _line(SECOND, b"two\n", "stderr"),
        _line(FIRST, b"three"),
    ]


async def _read(swarm: ApiSwarm, path: str) -> bytes:
    answer = await swarm.client.get(path)
    assert answer.status == 200
    return await answer.read()


async def test_brings_the_lines_of_all_tasks_of_a_service(swarm: ApiSwarm) -> None:
    await _fill(swarm)
    assert await _read(swarm, "/services/web/logs?stdout=1&stderr=1") == (
        frame(STDOUT, b"one\n") + frame(STDERR, b"two\n") + frame(STDOUT, b"three")
    )
    assert swarm.manager.logs.asked == [([FIRST.id, SECOND.id], LogSelection())]


async def test_brings_the_lines_of_a_task(swarm: ApiSwarm) -> None:
    await _fill(swarm)
    path = f"/tasks/{SECOND.id}/logs?stderr=1&tail=5&since=12.5&until=13"
    assert await _read(swarm, path) == frame(STDERR, b"two\n")
    asked = LogSelection(stdout=False, tail=5, since=12.5, until=13.0)
    assert swarm.manager.logs.asked == [([SECOND.id], asked)]


async def test_details_name_the_node_the_service_and_the_task(swarm: ApiSwarm) -> None:
    await _fill(swarm)
    details = (
        f"com.docker.swarm.node.id={NODE_ID},com.docker.swarm.service.id={WEB.id},"
        f"com.docker.swarm.task.id={SECOND.id} "
    ).encode()
    path = f"/tasks/{SECOND.id}/logs?stderr=1&details=1"
    assert await _read(swarm, path) == frame(STDERR, details + b"two\n")


async def test_a_terminal_writes_a_raw_stream(swarm: ApiSwarm) -> None:
    spec = ServiceSpec(
        name="tty", task_template=TaskSpec(container_spec=ContainerSpec(image="x", tty=True))
    )
    service = Service(id="t" * 25, spec=spec)
    await swarm.add(service)
    task = task_of(service, 1, node_id=NODE_ID)
    await swarm.add(task)
    swarm.manager.logs.lines = [_line(task, b"$ ")]
    assert await _read(swarm, "/services/tty/logs?stdout=1") == b"$ "


async def test_missing_lines_are_told_within_the_stream(swarm: ApiSwarm) -> None:
    await _fill(swarm)
    swarm.manager.logs.fault = UnavailableError("node n2 is not available")
    body = await _read(swarm, f"/tasks/{SECOND.id}/logs?stderr=1")
    fault = b"Error grabbing logs: node n2 is not available\n"
    assert body == frame(STDERR, b"two\n") + frame(SYSTEM_ERROR, fault)


async def test_a_service_without_placed_tasks_has_no_lines(swarm: ApiSwarm) -> None:
    await swarm.add(WEB)
    assert await _read(swarm, "/services/web/logs?stdout=1") == b""
    assert swarm.manager.logs.asked == []


async def test_following_goes_on_with_tasks_to_come_until_the_service_is_gone(
    swarm: ApiSwarm,
) -> None:
    await swarm.add(WEB)
    await swarm.add(FIRST)
    swarm.manager.logs.lines = [_line(FIRST, b"one\n"), _line(SECOND, b"two\n", "stderr")]
    answer = await swarm.client.get("/services/web/logs?stdout=1&stderr=1&follow=1&tail=3")
    assert await answer.content.readexactly(12) == frame(STDOUT, b"one\n")
    await swarm.store.propose([Create(object=SECOND)])
    assert await answer.content.readexactly(12) == frame(STDERR, b"two\n")
    await swarm.store.propose([Delete(table="service", id=WEB.id)])
    async with asyncio.timeout(10):
        assert await answer.content.read() == b""
    assert swarm.manager.logs.asked == [
        ([FIRST.id], LogSelection(follow=True, tail=3)),
        ([SECOND.id], LogSelection(follow=True)),
    ]


async def test_following_ends_with_a_reason_when_another_manager_leads(swarm: ApiSwarm) -> None:
    await _fill(swarm)
    swarm.manager.logs.lines = [_line(SECOND, b"two\n", "stderr")]
    swarm.manager.logs.fault = NotLeaderError("the manager that leads has changed")
    async with asyncio.timeout(10):
        body = await _read(swarm, "/services/web/logs?stderr=1&follow=1")
    fault = b"Error grabbing logs: the manager that leads has changed\n"
    assert body == frame(STDERR, b"two\n") + frame(SYSTEM_ERROR, fault)


REFUSED = {
    "no stream": ("/services/web/logs", 400, "Bad parameters: you must choose at least one"),
    "an unknown service": ("/services/x/logs?stdout=1", 404, "service x not found"),
    "an unknown task": ("/tasks/x/logs?stdout=1", 404, "task x not found"),
    "a flag that is none": ("/services/web/logs?stdout=maybe", 400, "invalid value 'maybe' for"),
}


@pytest.mark.parametrize(("path", "status", "expected"), REFUSED.values(), ids=REFUSED)
async def test_refuses(swarm: ApiSwarm, path: str, status: int, expected: str) -> None:
    await _fill(swarm)
    given = await swarm.call("GET", path)
    assert (given[0], given[1][: len(expected)]) == (status, expected)


async def test_a_manager_that_follows_has_the_logs_too(swarm: ApiSwarm) -> None:
    await _fill(swarm)
    swarm.manager.standing = {
        NODE_ID: standing("192.0.2.1"),
        "m2": standing("192.0.2.2", leader=True),
    }
    path = "/services/web/logs?stdout=1"
    assert frame(STDOUT, b"one\n") in await _read(swarm, path)
    del swarm.manager.standing["m2"]
    status, message = await swarm.call("GET", path)
    assert (status, message[:38]) == (503, "The swarm does not have a leader. It's")
