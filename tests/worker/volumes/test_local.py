"""Volumes: named ones stay, anonymous ones go, new ones are filled, and a crash leaves nothing half made."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path

import pytest

from common.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    NotImplementedHereError,
    SystemFailureError,
)
from common.events import EventLog
from common.model.container_spec import Driver, Mount, MountType, VolumeOptions
from tests.support.fake_clock import FakeClock
from worker.volumes.disk import Mounting
from worker.volumes.local import LocalVolumes, Pruned

CONTENT = "from the image"


def fill(layers: Sequence[str], target: str, directory: str) -> bool:
    if not layers:
        return False
    Path(directory, "content").write_text(f"{CONTENT}: {target}")
    return True


def broken(layers: Sequence[str], target: str, directory: str) -> bool:
    fill(layers, target, directory)
    raise InvalidInputError("broken off")


async def volumes_in(
    root: Path, using: object = fill, mounting: Mounting | None = None
) -> LocalVolumes:
    names = iter(f"{number:064x}" for number in range(1, 100))
    clock = FakeClock()
    volumes = LocalVolumes(
        str(root),
        clock,
        EventLog(clock),
        lambda: next(names),
        fill=using,  # type: ignore[arg-type]
        mounting=mounting,
    )
    await volumes.open()
    return volumes


def mount(source: str = "", **options: object) -> Mount:
    given = VolumeOptions(**options) if options else None  # type: ignore[arg-type]
    return Mount(type=MountType.VOLUME, source=source, target="/data", volume_options=given)


def content(path: str) -> list[str]:
    return [item.read_text() for item in Path(path).iterdir()]


def write(directory: str, name: str, data: bytes) -> None:
    Path(directory, name).write_bytes(data)


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
    "a type alone": (
        mount("store", driver_config=Driver(options={"type": "nfs"})),
        'missing required option: "device"',
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_refuses(tmp_path: Path, name: str) -> None:
    wanted, reason = REFUSED[name]
    volumes = await volumes_in(tmp_path)

    with pytest.raises((InvalidInputError, NotImplementedHereError), match=reason):
        await volumes.acquire(wanted, "c1", layers=[])

    assert names_in(tmp_path) == []


# --------------------------------------------------------------------------------- by themselves


async def test_one_made_by_itself_stays_without_containers_also_over_a_restart(
    tmp_path: Path,
) -> None:
    first = await volumes_in(tmp_path)
    named = await first.create("store", labels={"a": "1"})
    unnamed = await first.create("")
    await first.acquire(mount("store"), "c1", layers=[])
    await first.acquire(mount(unnamed.name), "c1", layers=[])
    await first.release("c1")

    again = await volumes_in(tmp_path)
    await again.sweep()

    assert sorted(again.all(), key=lambda one: len(one.name)) == [named, unnamed]
    assert unnamed.shown_labels == {"com.docker.volume.anonymous": ""}


async def test_the_same_name_again_gives_the_volume_that_there_is(tmp_path: Path) -> None:
    volumes = await volumes_in(tmp_path)

    first = await volumes.create("store", labels={"a": "1"})

    assert await volumes.create("store", labels={"a": "2"}) == first


async def test_one_in_use_is_not_removed(tmp_path: Path) -> None:
    volumes = await volumes_in(tmp_path)
    await volumes.acquire(mount("store"), "c1", layers=[])

    with pytest.raises(ConflictError, match=r"^remove store: volume is in use - \[c1\]$"):
        await volumes.remove("store")
    await volumes.release("c1")
    await volumes.remove("store")

    assert names_in(tmp_path) == []
    with pytest.raises(NotFoundError, match="get store: no such volume"):
        await volumes.remove("store")


async def test_a_container_may_leave_its_anonymous_volume_behind(tmp_path: Path) -> None:
    first = await volumes_in(tmp_path)
    place = await first.acquire(mount(), "c1", layers=[])

    await first.release("c1", keep_anonymous=True)
    again = await volumes_in(tmp_path)
    await again.sweep()

    assert names_in(tmp_path) == [place.name]
    await again.acquire(mount(place.name), "c2", layers=[])
    await again.release("c2")
    assert names_in(tmp_path) == [place.name]


async def test_pruning_takes_what_is_wanted_and_free_and_says_how_much_it_was(
    tmp_path: Path,
) -> None:
    volumes = await volumes_in(tmp_path)
    for name in ("free", "kept", "used"):
        await volumes.create(name)
        write(volumes.path(name), "file", bytes(1000))
    await volumes.acquire(mount("used"), "c1", layers=[])

    pruned = await volumes.prune(lambda volume: volume.name != "kept")

    assert pruned == Pruned(names=("free",), bytes_freed=1000)
    assert names_in(tmp_path) == ["kept", "used"]


async def test_a_removal_waits_for_who_is_filling_and_then_sees_its_holder(tmp_path: Path) -> None:
    volumes = await volumes_in(tmp_path)

    async with asyncio.TaskGroup() as group:
        filling = group.create_task(volumes.acquire(mount("store"), "c1", layers=["/l"]))
        removing = group.create_task(attempt(volumes.remove("store")))

    assert isinstance(removing.result(), ConflictError)
    assert content(filling.result().path) == [f"{CONTENT}: /data"]


async def attempt(work: Coroutine[None, None, None]) -> Exception | None:
    try:
        await work
    except (ConflictError, NotFoundError) as error:
        return error
    return None


# ------------------------------------------------------------------------------------ options

TMPFS = Driver(options={"type": "tmpfs", "device": "tmpfs", "o": "size=1m"})


class Mounts:
    """What is mounted, said rather than done; it outlives the store as the kernel does."""

    def __init__(self) -> None:
        self.mounted: set[str] = set()

    def mount(self, options: Mapping[str, str], directory: str) -> None:
        if options:
            self.mounted.add(directory)

    def unmount(self, directory: str) -> None:
        self.mounted.discard(directory)


async def test_what_the_options_mount_is_there_while_containers_run(tmp_path: Path) -> None:
    mounts = Mounts()
    volumes = await volumes_in(tmp_path, mounting=mounts)
    await volumes.create("memory", driver=TMPFS)
    for container in ("c1", "c2"):
        await volumes.acquire(mount("memory"), container, layers=[])
        await volumes.begin("memory", container, destination="/data", read_only=False)
    await volumes.end("c1")
    with_one_left = set(mounts.mounted)

    await volumes.end("c2")
    await volumes.end("c2")

    assert with_one_left == {volumes.path("memory")}
    assert mounts.mounted == set()
    assert volumes.get("memory").options == TMPFS.options


async def test_after_a_restart_a_mount_stays_for_who_runs_and_goes_with_the_last(
    tmp_path: Path,
) -> None:
    mounts = Mounts()
    before = await volumes_in(tmp_path, mounting=mounts)
    for name, container in (("kept", "runs"), ("left", "ended")):
        await before.create(name, driver=TMPFS)
        await before.acquire(mount(name), container, layers=[])
        await before.begin(name, container, destination="/data", read_only=False)

    after = await volumes_in(tmp_path, mounting=mounts)
    after.hold("kept", "runs")
    after.hold("left", "ended")
    await after.sweep(["runs"])
    swept = set(mounts.mounted)
    await after.end("runs")

    assert swept == {after.path("kept")}
    assert mounts.mounted == set()


async def test_what_lies_where_options_mount_is_never_removed(tmp_path: Path) -> None:
    volumes = await volumes_in(tmp_path, mounting=Mounts())
    await volumes.create(
        "bound", driver=Driver(options={"type": "none", "device": "/x", "o": "bind"})
    )
    write(volumes.path("bound"), "of-the-host", b"")  # as if it could not be unmounted

    with pytest.raises(SystemFailureError, match="not empty"):
        await volumes.remove("bound")

    assert content(volumes.path("bound")) == [""]


async def test_no_user_of_the_host_comes_to_what_containers_have_made(tmp_path: Path) -> None:
    """Such as programs that run as root whoever starts them."""
    root = tmp_path / "volumes"
    root.mkdir(mode=0o755)
    await volumes_in(root)

    assert root.stat().st_mode & 0o777 == 0o710
