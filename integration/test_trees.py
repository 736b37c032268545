"""``docker cp``, ``diff`` and ``export`` with real containers, also with one that wants to lead us astray."""

import json
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

from common.errors import ForbiddenError, InvalidInputError, NotFoundError, SwarmdError
from common.model.container_spec import Mount, MountType
from integration.trees_lab import BUSYBOX, Lab, lab, unpacked
from tests.support.archives import directory, entry, file, hardlink, symlink, tar

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
    while not await world.say(ran, "cat /ready 2>/dev/null"):
        pass
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
