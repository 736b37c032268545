"""``GET /system/df``, and the sizes of containers."""

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from common.events import EventLog
from common.model.container_spec import ContainerSpec, Mount, MountType
from tests.support.api_client import api_client
from tests.support.archives import chunks, docker_archive, file, tar
from tests.support.fake_clock import FakeClock
from tests.support.fake_machinery import FakeNetworks, FakeRuntime
from worker.api.system_df import SystemDf
from worker.containers.engine import LocalEngine, Surroundings
from worker.containers.record import ContainerConfig
from worker.containers.workshop import Machinery
from worker.images.limits import DEFAULT_LIMITS
from worker.images.shelf import Shelf
from worker.images.store import ImageStore
from worker.volumes.local import LocalVolumes

SHARED, OWN = tar(file("a", bytes(100))), tar(file("b", bytes(30)))


def write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


@pytest.fixture
async def told(tmp_path: Path) -> dict[str, Any]:
    """What is told of two images that share a layer, one container and two volumes; and of a part of it."""
    clock = FakeClock()
    events = EventLog(clock)
    names = iter(f"{number:064x}" for number in range(1, 100))
    shelf = Shelf(str(tmp_path / "images"), DEFAULT_LIMITS, flush=lambda _path: None)
    images = ImageStore(str(tmp_path / "images"), clock, events, shelf=shelf)
    volumes = LocalVolumes(
        str(tmp_path / "volumes"), clock, events, lambda: next(names), fill=lambda *_: False
    )
    await images.open()
    await volumes.open()
    await images.load(chunks(docker_archive([SHARED], tags=("one:1",))))
    await images.load(chunks(docker_archive([SHARED, OWN], tags=("two:1",))))
    await volumes.create("free")
    machinery = Machinery(
        runtime=FakeRuntime(clock), images=images, networks=FakeNetworks(), volumes=volumes
    )
    around = Surroundings(clock=clock, events=events, new_id=lambda: next(names))
    async with LocalEngine(str(tmp_path), str(tmp_path / "run"), machinery, around) as engine:
        mounts = (Mount(type=MountType.VOLUME, source="used", target="/data"),)
        spec = ContainerSpec(image="two:1", command=("x",), mounts=mounts)
        made = await engine.create(ContainerConfig(name="web", spec=spec, network="none"))
        write(tmp_path / "containers" / made.id / "upper/written", bytes(7))
        write(Path(volumes.path("used"), "f"), bytes(11))
        table = [
            web.get("/system/df", SystemDf(engine, images, volumes, clock).df, allow_head=False)
        ]
        async with api_client(table) as client:
            answers = {}
            for query in ("", "?type=volume&type=build-cache", "?type=x"):
                async with client.get(f"/system/df{query}") as answer:
                    answers[query] = await answer.json()
    return answers


async def test_system_df(told: dict[str, Any]) -> None:
    everything = told[""]

    images = {one["RepoTags"][0]: one for one in everything["Images"]}
    [container] = everything["Containers"]
    volumes = {one["Name"]: one["UsageData"] for one in everything["Volumes"]}

    assert everything["LayersSize"] == 130
    assert [(images[name]["Size"], images[name]["SharedSize"]) for name in ("one:1", "two:1")] == [
        (100, 100),
        (130, 100),
    ]
    assert [images[name]["Containers"] for name in ("one:1", "two:1")] == [0, 1]
    assert (container["SizeRw"], container["SizeRootFs"]) == (7, 137)
    assert volumes == {"free": {"Size": 0, "RefCount": 0}, "used": {"Size": 11, "RefCount": 1}}
    assert everything["BuildCache"] == []


async def test_a_part_of_it(told: dict[str, Any]) -> None:
    assert set(told["?type=volume&type=build-cache"]) == {"Volumes", "BuildCache"}
    assert told["?type=x"] == {"message": "unknown object type: x"}
