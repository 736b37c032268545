"""A node's local half of the Engine API, with processes and networks that only say so."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.events import EventLog
from common.model.container_spec import ContainerSpec
from tests.support.api_client import Client, api_client
from tests.support.archives import directory, docker_archive, file, tar
from tests.support.fake_clock import FakeClock
from tests.support.fake_machinery import FakeNetworks, FakeRuntime
from worker.api import routes
from worker.containers.engine import LocalEngine, Surroundings
from worker.containers.record import ContainerConfig
from worker.containers.workshop import Machinery
from worker.images.limits import DEFAULT_LIMITS
from worker.images.shelf import Shelf
from worker.images.store import ImageStore
from worker.volumes.local import LocalVolumes

LAYER = tar(directory("etc"), file("etc/greeting", b"hello"))


class Bridge:
    name = "swarmd0"
    subnet = ipaddress.IPv4Network("10.88.0.0/16")
    gateway = ipaddress.IPv4Interface("10.88.0.1/16")


class NodeNetwork:
    bridge = Bridge()


async def until(holds: Callable[[], object]) -> None:
    """Lets others go on until it is so."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - what is looked at rings no bell
            await asyncio.sleep(0.001)


@dataclass
class Node:
    client: Client
    engine: LocalEngine
    runtime: FakeRuntime
    clock: FakeClock
    events: EventLog
    root: Path

    async def get(self, path: str, status: int = 200, **query: str) -> Any:
        async with self.client.get(path, params=query) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()

    async def send(
        self, method: str, path: str, data: bytes = b"", **query: str
    ) -> tuple[int, str]:
        async with self.client.request(method, path, params=query, data=data) as answer:
            return answer.status, await answer.text()

    async def load(self, *tags: str, **config: Any) -> str:
        archive = docker_archive([LAYER], tags=tags or ("hello:1",), config=config)
        status, text = await self.send("POST", "/images/load", archive)
        assert status == 200, text
        return str((await self.get(f"/images/{(tags or ('hello:1',))[0]}/json"))["Id"])

    async def run(self, name: str = "web.1.t1", **more: Any) -> str:
        spec = ContainerSpec(image="hello:1", command=("serve",), **more.pop("spec", {}))
        container = await self.engine.create(ContainerConfig(name=name, spec=spec, **more))
        await self.engine.start(container.id)
        return container.id


@asynccontextmanager
async def local_node(tmp_path: Path) -> AsyncIterator[Node]:
    clock, root = FakeClock(), tmp_path
    events = EventLog(clock)
    names = iter(f"{number:064x}" for number in range(1, 100))
    shelf = Shelf(str(root / "images"), DEFAULT_LIMITS, flush=lambda _path: None)
    images = ImageStore(str(root / "images"), clock, events, shelf=shelf)
    volumes = LocalVolumes(
        str(root / "volumes"), clock, events, lambda: next(names), fill=lambda *_: False
    )
    await images.open()
    await volumes.open()
    runtime = FakeRuntime(clock)
    machinery = Machinery(runtime=runtime, images=images, networks=FakeNetworks(), volumes=volumes)
    around = Surroundings(clock=clock, events=events, new_id=lambda: next(names))
    async with LocalEngine(str(root), str(root / "run"), machinery, around) as engine:
        table = routes(images, engine, NodeNetwork(), volumes, clock)
        async with api_client(table) as client:
            yield Node(client, engine, runtime, clock, events, root)
