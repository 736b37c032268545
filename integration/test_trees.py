"""``docker cp``, ``diff`` and ``export`` with real containers, also with one that wants to lead us astray."""

import json
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from common.errors import ForbiddenError, InvalidInputError, NotFoundError, SwarmdError
from common.model.container_spec import Mount, MountType, VolumeOptions
from integration.trees_lab import BUSYBOX, Lab, chunks, lab, unpacked
from tests.support.archives import directory, entry, file, hardlink, symlink, tar
from worker.containers.bundle_of import bundle_of
from worker.images.reference import parse_reference
from worker.images.store import Commit
from worker.runtime.bundle import IdMapping, Namespaces
from worker.trees.helper import a_helper
from worker.trees.order import TreeOrder, Work

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not BUSYBOX.exists(), reason="needs busybox-static"),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def world() -> AsyncIterator[Lab]:
    async with lab("trees") as one:
        yield one


def volume(name: str, target: str, *, read_only: bool = False) -> Mount:
    return Mount(type=MountType.VOLUME, source=name, target=target, read_only=read_only)


def part(name: str, target: str, subpath: str) -> Mount:
    return replace(volume(name, target), volume_options=VolumeOptions(subpath=subpath))


async def test_a_directory_comes_with_all_that_is_in_it(world: Lab) -> None:
    ran = await world.run(
        "dir",
        "mkdir -p /a/b; echo one > /a/b/f; ln -s b /a/l; ln /a/b/f /a/h; chmod 4751 /a/b/f; exec sleep 600",
    )
    await world.say(ran, "ls -la /a /a/b")

    found = unpacked(await world.get(ran, "/a"))

    assert sorted(found) == ["a", "a/b", "a/b/f", "a/h", "a/l"]
    assert found["a/l"][0].linkname == "b"
    assert found["a/h"][1] == b"one\n"
    assert found["a/b/f"][0].islnk()


async def test_what_a_path_means(world: Lab) -> None:
    ran = await world.run("paths", "mkdir /d; echo x > /d/f; ln -s d /link; exec sleep 600")
    await world.say(ran, "ls /link")

    link = await world.engine.trees.stat(ran, "/link")
    followed = await world.engine.trees.stat(ran, "/link/")

    assert (link["name"], link["linkTarget"], link["mode"] >> 27 & 1) == ("link", "/d", 1)
    assert (followed["name"], followed["linkTarget"], followed["mode"] >> 31 & 1) == ("link", "", 1)
    assert sorted(unpacked(await world.get(ran, "link/."))) == [".", "./f"]
    assert sorted(unpacked(await world.get(ran, "/d/../d/f"))) == ["f"]
    with pytest.raises(NotFoundError, match="Could not find the file /nothing in container"):
        await world.get(ran, "/nothing")
    with pytest.raises(NotFoundError):
        await world.get(ran, "/proc/1/status")


async def test_volumes_and_memory_are_seen(world: Lab) -> None:
    mounts = (volume("seen", "/data"), Mount(type=MountType.TMPFS, target="/mem"))
    ran = await world.run(
        "seen", "echo m > /mem/f; echo v > /data/f; exec sleep 600", mounts=mounts
    )
    await world.say(ran, "ls")

    assert unpacked(await world.get(ran, "/mem/f"))["f"][1] == b"m\n"
    assert unpacked(await world.get(ran, "/data/f"))["f"][1] == b"v\n"
    await world.engine.stop(ran, grace_seconds=0)
    assert unpacked(await world.get(ran, "/data/f"))["f"][1] == b"v\n"
    await world.put(ran, "/data", tar(file("late", b"late")))
    assert Path(world.volumes.path("seen"), "late").read_bytes() == b"late"


@pytest.mark.parametrize("state", ["running", "created"])
async def test_what_is_put_is_there(world: Lab, state: str) -> None:
    name = f"put-{state}"
    made = await (world.run(name) if state == "running" else world.create(name, "sleep", "600"))
    archive = tar(
        directory("d"), file("d/f", b"content"), symlink("d/l", "/etc/passwd"), hardlink("d/h", "d/f"),
        entry("d/s", data=b"x", uid=1000, gid=1001, mode=0o4755),
    )  # fmt: skip

    await world.put(made, "/data", archive)
    if state == "created":
        await world.engine.start(made)

    assert await world.say(made, "cat /data/d/f /data/of-the-image; stat -c '%u %g %a' /data/d/s; ls /data/d") == [
        "contentfrom the image", "1000 1001 4755", "f", "h", "l", "s",
    ]  # fmt: skip


async def test_what_is_put_can_be_the_users(world: Lab) -> None:
    ran = await world.run("owner", user="user")

    await world.put(ran, "/data", tar(file("mine")), as_user=True)

    assert await world.say(ran, "stat -c '%u %g' /data/mine") == ["1000 1001"]


async def test_what_cannot_be_put(world: Lab) -> None:
    mounts = (volume("fixed", "/fixed", read_only=True),)
    ran = await world.run("refuses", mounts=mounts, read_only=True)
    stopped = await world.create("refuses-too", "true", mounts=mounts, read_only=True)

    for container in (ran, stopped):
        with pytest.raises(ForbiddenError, match="container rootfs is marked read-only"):
            await world.put(container, "/etc", tar(file("x")))
        with pytest.raises(ForbiddenError, match="mounted volume is marked read-only"):
            await world.put(container, "/fixed", tar(file("x")))
    plain = await world.run("plain", "mkdir /d; exec sleep 600")
    for archive, reason in (
        (
            tar(directory("of-the-image")),
            'cannot overwrite non-directory "of-the-image" with directory',
        ),
        (tar(file("../x")), "outside"),
        (tar(file("x", bytes(5000)))[:2000], "unexpected end"),
        (b"no archive at all" * 100, "invalid archive"),
    ):
        with pytest.raises(InvalidInputError, match=reason):
            await world.put(plain, "/data", archive)
    with pytest.raises(InvalidInputError, match="not a directory"):
        await world.put(plain, "/etc/passwd", tar(file("x")))
    with pytest.raises(
        InvalidInputError, match='cannot overwrite directory "data" with non-directory'
    ):
        await world.put(plain, "/", tar(file("data")))
    await world.put(plain, "/", tar(file("data", b"now a file")), is_strict=False)
    assert await world.say(plain, "cat /data") == ["now a file"]


async def test_changes_and_export(world: Lab) -> None:
    ran = await world.run(
        "changes", "rm /data/of-the-image; mkdir /new; echo x > /new/f; chmod 700 /etc; exec sleep 600",
        mounts=(volume("outside", "/outside"),),
    )  # fmt: skip
    await world.say(ran, "echo inside > /outside/f")

    async with world.engine.trees.changes(ran) as reading:
        said = b"".join([piece async for piece in reading.pieces])
    async with world.engine.trees.export(ran) as reading:
        exported = unpacked(b"".join([piece async for piece in reading.pieces]))

    found = {one["Path"]: one["Kind"] for one in json.loads(said)}
    assert found == {
        "/data": 0,
        "/data/of-the-image": 2,
        "/etc": 0,
        "/new": 1,
        "/new/f": 1,
        "/outside": 1,
    }
    assert exported["new/f"][1] == b"x\n"
    assert "data/of-the-image" not in exported
    assert "outside/f" not in exported
    assert not [name for name in exported if name.startswith(("proc/", "sys/"))]


async def test_owners_are_the_containers_own(world: Lab) -> None:
    """In a user namespace of its own, what is copied in and out has the ids that the container sees."""
    container = world.engine.find(await world.create("mapped", "sh", "-c", "exec sleep 600"))
    places, mapped = (
        world.places(container.id),
        (IdMapping(container_id=0, host_id=300_000, size=65_536),),
    )
    image = world.images.resolve(container.image_id)
    bundle = replace(
        bundle_of(container, image, None, places),
        mounts=(),
        namespaces=Namespaces(uid_mappings=mapped, gid_mappings=mapped),
    )
    Path(places.merged).mkdir(exist_ok=True)
    pid = await world.runtime.start(bundle)
    order = TreeOrder(
        work=Work.PUT, container="mapped", pid=pid, lower=image.layers, upper=places.file("upper"),
        place=places.merged, path="/data",
    )  # fmt: skip
    archive = tar(
        entry("mine", data=b"x", uid=1000, gid=1001), entry("new/roots", data=b"x", uid=0, gid=0)
    )
    try:
        async with a_helper(order) as helper:
            await helper.line()
            await helper.feed(chunks(archive))
            await helper.line()
        async with a_helper(replace(order, work=Work.GET)) as helper:
            await helper.line()
            found = unpacked(b"".join([piece async for piece in helper.pieces()]))
        said = await world.say(container.id, "stat -c '%u %g' /data/mine /data/new /data/new/roots")
    finally:
        await world.runtime.kill(container.id)
        await world.runtime.wait(container.id)
        await world.runtime.cleanup(container.id)

    assert said == ["1000 1001", "0 0", "0 0"]
    assert (found["data/mine"][0].uid, found["data/mine"][0].gid) == (1000, 1001)
    assert found["data/of-the-image"][0].uid == 0
    assert (Path(places.file("upper")) / "data/mine").stat().st_uid == 1000


async def test_an_image_is_made_of_what_changed(world: Lab) -> None:
    script = """
        rm -r /data; mkdir /data; echo new > /data/new; rm /etc/group; mkdir -p /a/b; echo x > /a/b/s
        chmod 4750 /a/b/s; ln -s s /a/b/l; touch /ready; exec sleep 600"""
    ran = await world.run("commits", script, env=("A=1",))
    await world.until(ran, "/ready")
    async with world.engine.trees.layer(ran) as reading:
        layer = unpacked(b"".join([piece async for piece in reading.pieces]))
        whiteouts = {name for name in layer if "/.wh." in name}
    async with world.engine.trees.layer(ran) as reading:
        wanted = Commit(
            parent_id=world.engine.find(ran).image_id,
            settings={"Env": ["A=1"]},
            name=parse_reference("made:2"),
        )
        image_id = await world.images.commit(reading.pieces, wanted)

    assert whiteouts == {"data/.wh..wh..opq", "etc/.wh.group"}
    assert world.images.inspect("made:2").id == image_id
    again = await world.run("again", image="made:2")
    said = await world.say(
        again, "ls /data; stat -c '%a %u' /a/b/s; readlink /a/b/l; test -e /etc/group || echo gone"
    )
    assert said == ["new", "4750 0", "s", "gone"]


async def test_a_directory_of_a_volume_is_nowhere_else(world: Lab) -> None:
    """Whoever may write to a volume cannot choose what another one gets of it."""
    await world.engine.start(
        await world.create(
            "evil",
            "sh",
            "-c",
            "mkdir /v/in; ln -s / /v/out; ln -s in /v/good",
            mounts=(volume("sub", "/v"),),
        )
    )
    await world.ended(world.engine.find("evil").id)

    for subpath, reason in (
        ("out", "leads out of the volume"),
        ("out/etc", "leads out"),
        ("none", "No such file"),
    ):
        made = await world.create(
            f"sub-{subpath[-3:]}", "true", mounts=(part("sub", "/v", subpath),)
        )
        with pytest.raises(InvalidInputError, match=reason):
            await world.engine.start(made)
        with pytest.raises(InvalidInputError, match="cannot mount on /v"):
            await world.get(made, "/v")
    ran = await world.run("good", mounts=(part("sub", "/v", "good"),))
    await world.put(ran, "/v", tar(file("f")))
    assert Path(world.volumes.path("sub"), "in/f").exists()


# ------------------------------------------------------------------------- one that leads us astray

TRIES = 5
SWAP = """
mkdir -p {outside} /swap /tree/sub; echo inside > {outside}/canary; echo inside > /swap/canary
echo inside > /tree/sub/canary; ln -s {up}{outside} /link; ln -s {up}{outside} /link2; echo ready > /ready
while :; do
    mv /swap /real; mv /link /swap; mv /tree/sub /tree2; mv /link2 /tree/sub
    mv /swap /link; mv /real /swap; mv /tree/sub /link2; mv /tree2 /tree/sub
done"""


@pytest.fixture
def outside() -> Iterator[Path]:
    """A directory of the host that nobody may read or write through a container."""
    with tempfile.TemporaryDirectory(prefix="swarmd-test-outside-") as path:
        Path(path, "canary").write_text("of the host")
        yield Path(path)
        assert [one.name for one in Path(path).iterdir()] == ["canary"]
        assert Path(path, "canary").read_text() == "of the host"


async def test_links_that_are_swapped_meanwhile_lead_nowhere(world: Lab, outside: Path) -> None:
    """A container swaps directories for links that lead to the host's, from its tree, while we read and write there."""
    script = SWAP.format(outside=outside, up="/../../../../..")
    ran = await world.run("swaps", script)
    await world.until(ran, "/ready")
    read, linked, written = [], 0, 0

    for _ in range(TRIES):
        with suppress(NotFoundError):
            read.append(unpacked(await world.get(ran, "/swap/canary"))["canary"][1])
        with suppress(NotFoundError, SwarmdError):
            found = unpacked(await world.get(ran, "/tree"))
            linked += "tree/sub" in found and found["tree/sub"][0].issym()
            assert found.get("tree/sub/canary", (None, b"inside\n"))[1] == b"inside\n"
        with suppress(NotFoundError, InvalidInputError):
            await world.put(
                ran, "/swap", tar(file("canary", b"inside\n"), file("more", b"inside\n"))
            )
            written += 1
        with suppress(InvalidInputError, NotFoundError):
            await world.put(ran, "/tree", tar(file("sub/canary", b"inside\n")), is_strict=False)
            written += 1

    await world.engine.remove(ran)
    assert set(read) == {b"inside\n"}
    assert written > 0
