"""The cluster's half of the API over a store in memory, as a client sees it."""

import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from common.events import EventLog
from common.model.service import Service
from common.model.task import Task, TaskState, TaskStatus
from manager.api import routes
from manager.store.changes import Create, StoredObject
from manager.store.store import Store
from tests.support.api_client import Client, api_client
from tests.support.fake_clock import FakeClock
from tests.support.fake_swarm import FakeEngine, FakeManager, FakeNode

Json = dict[str, Any]
NOW = 1_700_000_000.0


@dataclass
class ApiSwarm:
    """A node and its API; ``client`` talks to it."""

    clock: FakeClock
    node: FakeNode
    engine: FakeEngine
    events: EventLog
    client: Client = field(init=False)

    @property
    def manager(self) -> FakeManager:
        assert self.node.manager is not None
        return self.node.manager

    @property
    def store(self) -> Store:
        return self.manager.store

    def routes(self) -> list[web.RouteDef]:
        return routes(self.node, self.engine, self.events, self.clock, random.Random(7))

    async def init(self) -> None:
        answer = await self.client.post("/swarm/init", json={})
        assert answer.status == 200

    async def add(self, *objects: StoredObject) -> None:
        await self.store.propose([Create(object=item) for item in objects])

    async def call(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        """The status and the body as JSON; an error's body is its message."""
        async with self.client.request(method, path, **more) as answer:
            text = await answer.text()
            if answer.content_type != "application/json":
                return answer.status, text
            body = await answer.json()
            is_error = answer.status >= 400 and isinstance(body, Mapping)
            return answer.status, body["message"] if is_error else body

    async def get(self, path: str, **query: str) -> Any:
        status, body = await self.call("GET", path, params=query)
        assert status == 200, body
        return body

    async def create(self, **spec: Any) -> str:
        """Creates a service and gives its id."""
        status, body = await self.call("POST", "/services/create", json=service_body(**spec))
        assert status == 201, body
        service_id: str = body["ID"]
        return service_id

    def service(self, reference: str = "web") -> Service:
        return self.store.state.find_service(reference)


def service_body(name: str = "web", image: str = "hello:1", port: int = 0, **more: Any) -> Json:
    """A spec as a client sends it."""
    body: Json = {"Name": name, "TaskTemplate": {"ContainerSpec": {"Image": image}}, **more}
    if port:
        body["EndpointSpec"] = {"Ports": [{"TargetPort": 80, "PublishedPort": port}]}
    return body


def task_of(
    service: Service,
    slot: int,
    *,
    node_id: str = "",
    state: TaskState = TaskState.RUNNING,
    desired: TaskState = TaskState.RUNNING,
) -> Task:
    """A task in a slot of a service; its id says which."""
    return Task(
        id=f"{service.spec.name}{slot}".ljust(25, "-"),
        service_id=service.id,
        service_name=service.spec.name,
        service_labels=service.spec.labels,
        slot=slot,
        spec=service.spec.task_template,
        spec_version=service.spec_version,
        node_id=node_id,
        desired_state=desired,
        status=TaskStatus(state=state, timestamp=NOW, message="started"),
    )


@asynccontextmanager
async def api_swarm(*, is_manager: bool = True) -> AsyncIterator[ApiSwarm]:
    """The API of a node that has the image hello:1, and unless told otherwise is a swarm of its own."""
    clock = FakeClock(NOW)
    swarm = ApiSwarm(clock, FakeNode(clock), FakeEngine("hello:1"), EventLog(clock))
    async with api_client(swarm.routes()) as client:
        swarm.client = client
        if is_manager:
            await swarm.init()
        yield swarm
