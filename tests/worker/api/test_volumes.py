"""``/volumes`` as Docker's clients use it."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from common.events import EventLog
from common.model.container_spec import Mount, MountType
from tests.support.api_client import Client, api_client
from tests.support.fake_clock import FakeClock
from worker.api.volumes import Volumes
from worker.volumes.local import LocalVolumes


@dataclass
class Node:
    client: Client
    volumes: LocalVolumes
    events: EventLog

    async def ask(self, method: str, path: str, body: Any = None, **query: str) -> tuple[int, Any]:
        async with self.client.request(method, path, params=query, json=body) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text else None

    async def names(self, **filters: list[str]) -> list[str]:
        _, answer = await self.ask("GET", "/volumes", filters=json.dumps(filters))
        return [volume["Name"] for volume in answer["Volumes"]]

    async def use(self, name: str, container_id: str) -> None:
        mount = Mount(type=MountType.VOLUME, source=name, target="/data")
        await self.volumes.acquire(mount, container_id, layers=[])


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    clock = FakeClock()
    events = EventLog(clock)
    names = iter(f"{number:064x}" for number in range(1, 100))
    volumes = LocalVolumes(str(tmp_path), clock, events, lambda: next(names), fill=lambda *_: False)
    await volumes.open()
    volume = Volumes(volumes)
    table = [
        web.get("/volumes", volume.list, allow_head=False),
        web.post("/volumes/create", volume.create),
        web.post("/volumes/prune", volume.prune),
        web.get("/volumes/{name}", volume.inspect, allow_head=False),
        web.delete("/volumes/{name}", volume.remove),
    ]
    async with api_client(table) as client:
        yield Node(client, volumes, events)


async def test_create_answers_with_what_inspect_shows(node: Node) -> None:
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}
    body = {"Name": "memory", "Driver": "local", "DriverOpts": options, "Labels": {"a": "1"}}

    status, made = await node.ask("POST", "/v1.50/volumes/create", body)

    assert status == 201
    assert made["Options"] == options
    assert made["Labels"] == {"a": "1"}
    assert made["Mountpoint"] == node.volumes.path("memory")
    assert await node.ask("GET", "/volumes/memory") == (200, made)


async def test_one_without_a_name_is_anonymous(node: Node) -> None:
    _, made = await node.ask("POST", "/volumes/create", {})

    assert made["Name"] == f"{1:064x}"
    assert made["Labels"] == {"com.docker.volume.anonymous": ""}
    assert made["Options"] is None


REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "a driver that there is not": ({"Name": "ab", "Driver": "x"}, 501, 'plugin "x" not found'),
    "a cluster volume": (
        {"Name": "ab", "ClusterVolumeSpec": {"Group": "g"}},
        501,
        "cluster volumes",
    ),
    "a path": ({"Name": "/srv"}, 400, "includes invalid characters"),
    "an option": ({"Name": "ab", "DriverOpts": {"x": "1"}}, 400, 'invalid option: "x"'),
    "not an object": ({"Name": 1}, 400, "expected a string"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_create_refuses(node: Node, name: str) -> None:
    body, status, reason = REFUSED[name]

    answer = await node.ask("POST", "/volumes/create", body)

    assert answer[0] == status
    assert reason in answer[1]["message"]
    assert await node.names() == []


async def test_remove_says_who_uses_it_and_force_forgives_absence(node: Node) -> None:
    await node.ask("POST", "/volumes/create", {"Name": "store"})
    await node.use("store", "c1")

    in_use = await node.ask("DELETE", "/volumes/store", force="1")
    await node.volumes.release("c1")

    assert in_use == (409, {"message": "remove store: volume is in use - [c1]"})
    assert (await node.ask("DELETE", "/volumes/store"))[0] == 204
    assert (await node.ask("DELETE", "/volumes/store"))[0] == 404
    assert (await node.ask("DELETE", "/volumes/store", force="1"))[0] == 204


PRUNED: dict[str, tuple[str, dict[str, list[str]], set[str]]] = {
    "those without a name": ("/volumes/prune", {}, {"anonymous"}),
    "all that is free": ("/volumes/prune", {"all": ["true"]}, {"anonymous", "red", "blue"}),
    "all, for older clients": ("/v1.41/volumes/prune", {}, {"anonymous", "red", "blue"}),
    "those with a label": ("/volumes/prune", {"all": ["1"], "label": ["color=red"]}, {"red"}),
    "those without one": (
        "/volumes/prune",
        {"all": ["1"], "label!": ["color=red"]},
        {"anonymous", "blue"},
    ),
}


@pytest.mark.parametrize("name", PRUNED)
async def test_prune_takes(node: Node, name: str) -> None:
    path, filters, expected = PRUNED[name]
    _, anonymous = await node.ask("POST", "/volumes/create", {})
    for color in ("red", "blue"):
        await node.ask("POST", "/volumes/create", {"Name": color, "Labels": {"color": color}})
    await node.ask("POST", "/volumes/create", {"Name": "used"})
    await node.use("used", "c1")

    status, answer = await node.ask("POST", path, filters=json.dumps(filters))

    said = {"anonymous" if gone == anonymous["Name"] else gone for gone in answer["VolumesDeleted"]}
    assert (status, said, answer["SpaceReclaimed"]) == (200, expected, 0)
    assert "used" in await node.names()


async def test_dangling_tells_the_free_ones(node: Node) -> None:
    for name in ("free", "used"):
        await node.ask("POST", "/volumes/create", {"Name": name})
    await node.use("used", "c1")

    assert await node.names(dangling=["true"]) == ["free"]
    assert await node.names(dangling=["false"]) == ["used"]


async def test_every_change_is_an_event(node: Node) -> None:
    await node.ask("POST", "/volumes/create", {"Name": "store"})
    await node.use("store", "c1")
    await node.volumes.begin("store", "c1", destination="/data", read_only=True)
    await node.volumes.end("c1")
    await node.volumes.release("c1")
    await node.ask("DELETE", "/volumes/store")

    told = [(event.action, event.actor_id) for event in node.events.past(0, 2e9)]

    assert told == [(action, "store") for action in ("create", "mount", "unmount", "destroy")]
