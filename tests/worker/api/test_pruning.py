"""What ``docker image prune`` and ``docker system prune`` take away."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from common.events import EventLog
from tests.support.api_client import Client, api_client
from tests.support.archives import chunks, docker_archive, file, tar
from tests.support.fake_clock import FakeClock
from worker.api.pruning import Pruning
from worker.images.limits import DEFAULT_LIMITS
from worker.images.reference import parse_reference
from worker.images.shelf import Shelf
from worker.images.store import ImageStore

SHARED, OWN = tar(file("a", bytes(100))), tar(file("b", bytes(30)))


@dataclass
class Node:
    client: Client
    images: ImageStore

    async def prune(
        self, filters: dict[str, list[str]] | None = None, kind: str = "images"
    ) -> tuple[int, Any]:
        query = {"filters": json.dumps(filters or {})}
        async with self.client.post(f"/{kind}/prune", params=query) as answer:
            return answer.status, await answer.json()

    async def load(self, tag: str, *layers: bytes, **labels: str) -> str:
        archive = docker_archive(layers, tags=(tag,), config={"Labels": labels})
        return (await self.images.load(chunks(archive)))[0].id

    def left(self) -> set[str]:
        return {name.familiar for image in self.images.all() for name in image.names}


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    clock = FakeClock()
    shelf = Shelf(str(tmp_path), DEFAULT_LIMITS, flush=lambda _path: None)
    images = ImageStore(str(tmp_path), clock, EventLog(clock), shelf=shelf)
    await images.open()
    pruning = Pruning(images, clock)
    table = [
        web.post("/images/prune", pruning.images),
        web.post("/networks/prune", pruning.networks),
        web.post("/build/prune", pruning.builds),
    ]
    async with api_client(table) as client:
        yield Node(client, images)


async def test_only_nameless_images_go_unless_all_are_wanted(node: Node) -> None:
    nameless = await node.load("web:1", SHARED, OWN)
    newer = await node.load("web:2", SHARED)
    await node.images.tag(newer, parse_reference("web:1"))

    first = await node.prune()
    second = await node.prune({"dangling": ["false"]})

    deleted = {"ImagesDeleted": [{"Deleted": nameless}], "SpaceReclaimed": 30}
    assert first == (200, deleted)
    assert second[1]["SpaceReclaimed"] == 100
    assert {"Deleted": newer} in second[1]["ImagesDeleted"]
    assert node.left() == set()


async def test_what_a_container_is_made_from_stays(node: Node) -> None:
    node.images.hold(await node.load("web:1", SHARED), "c1")

    assert await node.prune({"dangling": ["false"]}) == (
        200,
        {"ImagesDeleted": None, "SpaceReclaimed": 0},
    )


KEPT: dict[str, tuple[dict[str, list[str]], set[str]]] = {
    "by a label": ({"label": ["color=red"]}, {"blue:1"}),
    "without a label": ({"label!": ["color=red"]}, {"red:1"}),
    "made before a moment": ({"until": ["1"]}, set()),
    "made before there were images": ({"until": ["0"]}, {"red:1", "blue:1"}),
}


@pytest.mark.parametrize("case", KEPT)
async def test_filters_choose(node: Node, case: str) -> None:
    filters, left = KEPT[case]
    await node.load("red:1", SHARED, color="red")
    await node.load("blue:1", SHARED, color="blue")

    await node.prune({"dangling": ["false"], **filters})

    assert node.left() == left


async def test_what_is_no_filter(node: Node) -> None:
    assert (await node.prune({"dangling": ["maybe"]}))[0] == 400
    assert (await node.prune({"color": ["red"]}))[0] == 400


async def test_there_are_no_networks_and_builds_to_prune(node: Node) -> None:
    assert await node.prune(kind="networks") == (200, {"NetworksDeleted": None})
    assert await node.prune(kind="build") == (200, {"CachesDeleted": None, "SpaceReclaimed": 0})
