"""Input, terminals, who is attached, and further processes of real containers; needs root and a static busybox."""

import asyncio

import pytest

from integration.runtime_world import BUSYBOX, World
from worker.containers.ports import Streams
from worker.runtime.bundle import FurtherProcess

pytestmark = pytest.mark.skipif(not BUSYBOX.exists(), reason="needs busybox-static")


async def all_of(streams: Streams) -> dict[int, bytes]:
    """Everything until the end."""
    said = {1: b"", 2: b""}
    async with asyncio.timeout(20):
        while piece := await streams.read():
            said[piece[0]] += piece[1]
    return said


async def read_until(streams: Streams, words: bytes) -> bytes:
    said = b""
    async with asyncio.timeout(10):
        while words not in said:
            piece = await streams.read()
            assert piece is not None, said
            said += piece[1]
    return said


# -- attached to pipes -----------------------------------------------------------------------------


async def test_attached_before_the_start_misses_nothing(world: World) -> None:
    streams = await world.client.attach("a", before_start=True)
    await world.client.start(world.bundle("a", "sh", "-c", "echo one; echo two >&2"))
    assert await all_of(streams) == {1: b"one\n", 2: b"two\n"}
    assert (await world.client.wait("a")).code == 0
    assert (world.lines("a"), world.lines("a", "stderr")) == (["one"], ["two"])


async def test_cat_echoes_until_its_input_ends(world: World) -> None:
    streams = await world.client.attach("a", before_start=True)
    await world.client.start(world.bundle("a", "cat", open_stdin=True))
    await streams.write(b"hello")
    assert await read_until(streams, b"hello") == b"hello"
    await streams.write(b" again")
    await streams.close_input()
    assert await all_of(streams) == {1: b" again", 2: b""}
    assert (await world.client.wait("a")).code == 0
    assert world.lines("a") == ["hello again"]


async def test_a_program_talks_with_us(world: World) -> None:
    await world.client.start(world.bundle("a", "sleep", "100"))
    process = FurtherProcess(
        argv=("sh", "-c", "read x; echo got $x $Y; echo bad >&2; pwd; id -u; exit 7"),
        env=("Y=why",), cwd="/home", user="app", open_stdin=True,
    )  # fmt: skip
    spawned = await world.client.spawn("a", process)
    await spawned.streams.write(b"this\n")
    assert await all_of(spawned.streams) == {1: b"got this why\n/home\n1000\n", 2: b"bad\n"}
    assert await spawned.wait() == 7
    spawned.streams.close()


# -- terminals -------------------------------------------------------------------------------------


async def test_a_terminal_is_the_containers_own(world: World) -> None:
    script = "tty; stty size; readlink /proc/self/fd/2; echo x >/dev/console; echo $TERM"
    bundle = world.bundle(
        "a", "sh", "-c", script, tty=True, console_size=(33, 77), env=("TERM=xterm",)
    )
    streams = await world.client.attach("a", before_start=True)
    await world.client.start(bundle)
    said = (await all_of(streams))[1].decode().split("\r\n")
    assert said[:5] == ["/dev/pts/0", "33 77", "/dev/pts/0", "x", "xterm"]
    assert world.lines("a")[0] == "/dev/pts/0\r"


async def test_size_and_ctrl_c_reach_the_foreground(world: World) -> None:
    script = """trap 'stty size' WINCH; trap 'echo int; exit 3' INT; echo ready
        while :; do sleep 0.05; done"""
    streams = await world.client.attach("a", before_start=True)
    await world.client.start(world.bundle("a", "sh", "-c", script, tty=True, open_stdin=True))
    await read_until(streams, b"ready")
    await world.client.resize("a", 40, 120)
    await read_until(streams, b"40 120")
    await streams.resize(41, 121)
    await read_until(streams, b"41 121")
    await streams.write(b"\x03")
    await read_until(streams, b"int")
    assert (await world.client.wait("a")).code == 3


@pytest.mark.parametrize("init", [False, True])
async def test_an_interactive_shell(world: World, *, init: bool) -> None:
    streams = await world.client.attach("a", before_start=True)
    await world.client.start(world.bundle("a", "sh", tty=True, open_stdin=True, init=init))
    await streams.write(b"sleep 100\n")
    await read_until(streams, b"sleep 100\r\n")
    await asyncio.sleep(0.2)
    await streams.write(b"\x03echo code $?\n")
    await read_until(streams, b"code 130")
    await streams.write(b"exit 4\n")
    await all_of(streams)
    assert (await world.client.wait("a")).code == 4


async def test_a_further_process_in_a_terminal(world: World) -> None:
    await world.client.start(world.bundle("a", "sleep", "100"))
    process = FurtherProcess(argv=("sh",), tty=True, open_stdin=True, console_size=(20, 30))
    spawned = await world.client.spawn("a", process)
    await spawned.streams.write(b"tty; stty size; echo $TERM\n")
    assert b"/dev/pts/0\r\n20 30\r\nxterm\r\n" in await read_until(spawned.streams, b"xterm\r\n")
    await spawned.streams.resize(50, 60)
    await spawned.streams.write(b"stty size; exit 5\n")
    assert b"50 60" in (await all_of(spawned.streams))[1]
    assert await spawned.wait() == 5
    spawned.streams.close()


async def test_a_detached_one_goes_on_alone(world: World) -> None:
    await world.client.start(
        world.bundle("a", "sh", "-c", "while ! test -e /tmp/x; do sleep 0.02; done")
    )
    for tty in (False, True):
        argv = ("sh", "-c", "yes | head -c 200000; tty; exit 6")
        spawned = await world.client.spawn("a", FurtherProcess(argv=argv, detached=True, tty=tty))
        assert await spawned.streams.read() is None
        assert await spawned.wait() == 6
    left = await world.client.spawn("a", FurtherProcess(argv=("touch", "/tmp/x"), detached=True))
    left.close()
    assert (await world.client.wait("a")).code == 0
