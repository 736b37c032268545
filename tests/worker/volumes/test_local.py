"""Volumes: named ones stay, anonymous ones go, new ones are filled, and a crash leaves nothing half made."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from common.errors import InvalidInputError, NotFoundError, NotImplementedHereError
from common.events import EventLog
from common.model.container_spec import Driver, Mount, MountType, VolumeOptions
from tests.support.fake_clock import FakeClock
from worker.volumes.local import LocalVolumes

CONTENT = "from the image"


def fill(layers: Sequence[str], target: str, directory: str) -> bool:
    if not layers:
        return False
    Path(directory, "content").write_text(f"{CONTENT}: {target}")
    return True


def broken(layers: Sequence[str], target: str, directory: str) -> bool:
    fill(layers, target, directory)
    raise InvalidInputError("broken off")


async def volumes_in(root: Path, using: object = fill) -> LocalVolumes:
    names = iter(f"{number:064x}" for number in range(1, 100))
    clock = FakeClock()
    volumes = LocalVolumes(
        str(root),
        clock,
        EventLog(clock),
        lambda: next(names),
        fill=using,  # type: ignore[arg-type]
    )
    await volumes.open()
    return volumes


def mount(source: str = "", **options: object) -> Mount:
    given = VolumeOptions(**options) if options else None  # type: ignore[arg-type]
    return Mount(type=MountType.VOLUME, source=source, target="/data", volume_options=given)


def content(path: str) -> list[str]:
    return [item.read_text() for item in Path(path).iterdir()]


def names_in(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


async def test_a_new_volume_is_filled_and_found_again(tmp_path: Path) -> None:
    first = await volumes_in(tmp_path)
    made = await first.acquire(mount("store", labels={"a": "1"}), "c1", layers=["/l"])
    await first.release("c1")

    again = await volumes_in(tmp_path)
    found = await again.acquire(mount("store"), "c2", layers=["/other"])

    assert found == made
    assert content(found.path) == [f"{CONTENT}: /data"]
    assert again.get("store").labels == {"a": "1"}


async def test_no_copy_leaves_it_empty(tmp_path: Path) -> None:
    volumes = await volumes_in(tmp_path)

    place = await volumes.acquire(mount("store", no_copy=True), "c1", layers=["/l"])

    assert content(place.path) == []


async def test_an_empty_volume_is_filled_when_nobody_else_uses_it(tmp_path: Path) -> None:
    volumes = await volumes_in(tmp_path)
    place = await volumes.acquire(mount("store"), "c1", layers=[])

    await volumes.acquire(mount("store"), "c2", layers=["/l"])
    shared = content(place.path)
    await volumes.release("c1")
    await volumes.release("c2")
    await volumes.acquire(mount("store"), "c3", layers=["/l"])

    assert shared == []
    assert content(place.path) == [f"{CONTENT}: /data"]


async def test_an_anonymous_volume_goes_with_its_container(tmp_path: Path) -> None:
    volumes = await volumes_in(tmp_path)
    await volumes.acquire(mount("store"), "c1", layers=[])
    place = await volumes.acquire(mount(), "c1", layers=[])
    assert place.name == f"{1:064x}"

    await volumes.release("c1")

    assert [volume.name for volume in volumes.all()] == ["store"]
    assert names_in(tmp_path) == ["store"]


async def test_after_a_crash_only_what_containers_still_hold_is_kept(tmp_path: Path) -> None:
    before = await volumes_in(tmp_path)
    held = await before.acquire(mount(), "c1", layers=[])
    await before.acquire(mount(), "c2", layers=[])
    (tmp_path / ".new-half/_data").mkdir(parents=True)
    (tmp_path / ".gone-half/_data").mkdir(parents=True)

    after = await volumes_in(tmp_path)
    after.hold(held.name, "c1")
    await after.sweep()

    assert [volume.name for volume in after.all()] == [held.name]
    assert names_in(tmp_path) == [held.name]


async def test_a_filling_that_breaks_off_leaves_no_volume(tmp_path: Path) -> None:
    volumes = await volumes_in(tmp_path, broken)

    with pytest.raises(InvalidInputError, match="broken off"):
        await volumes.acquire(mount("store"), "c1", layers=["/l"])

    assert names_in(tmp_path) == []
    with pytest.raises(NotFoundError, match="get store: no such volume"):
        volumes.get("store")


REFUSED: dict[str, tuple[Mount, str]] = {
    "a path": (mount("a/b"), "includes invalid characters"),
    "a hidden name": (mount(".gone-x"), "includes invalid characters"),
    "one letter": (mount("a"), "too short"),
    "another driver": (mount("store", driver_config=Driver(name="nfs")), '"nfs" not found'),
    "options": (mount("store", driver_config=Driver(options={"type": "nfs"})), "not available"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_refuses(tmp_path: Path, name: str) -> None:
    wanted, reason = REFUSED[name]
    volumes = await volumes_in(tmp_path)

    with pytest.raises((InvalidInputError, NotImplementedHereError), match=reason):
        await volumes.acquire(wanted, "c1", layers=[])

    assert names_in(tmp_path) == []
