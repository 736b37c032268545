"""Input, terminals, who is attached, and further processes of real containers; needs root and a static busybox."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from common.errors import InvalidInputError, NotFoundError, UnavailableError
from integration.runtime_world import BUSYBOX, World, under
from worker.containers.ports import Streams
from worker.runtime.attached import BUFFER_MAX
from worker.runtime.audience import MEMBERS_MAX
from worker.runtime.bundle import FurtherProcess, LogOptions
from worker.runtime.client import RuntimeClient
from worker.runtime.standard_input import INPUT_MAX

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


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def private_bytes(pid: int) -> int:
    """Memory that is this process's alone."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Private_"))


async def until_descriptors(pid: int, wanted: int) -> None:
    """The supervisor notices that somebody has left a moment later."""
    for _ in range(200):
        if descriptors(pid) <= wanted:
            return
        await asyncio.sleep(0.02)
    assert descriptors(pid) <= wanted


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


@under("", "crun", "runc")
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


@under("", "crun", "runc")
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


async def test_a_terminal_that_nobody_has_open_may_be_opened_again(world: World) -> None:
    script = """exec </dev/null >/dev/null 2>&1; sleep 0.3
        for i in $(seq 2000); do echo line $i; done >/dev/console; sleep 0.3; echo last >/dev/console"""
    streams = await world.client.attach("a", before_start=True)
    await world.client.start(world.bundle("a", "sh", "-c", script, tty=True))
    said = (await all_of(streams))[1].split()
    assert said[-3:] == [b"line", b"2000", b"last"]
    assert (await world.client.wait("a")).code == 0


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


@under("", "crun", "runc")
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


# -- more than one can take --------------------------------------------------------------------------

LINE = b"0123456789" * 6 + b"abc\n"
FLOOD = 200 << 20


async def test_a_flood_waits_for_a_slow_reader_and_loses_nothing(world: World) -> None:
    """The container stands still while nobody reads; the supervisor keeps no more than its buffer."""
    script = f"yes {LINE.decode().strip()} | head -c {FLOOD}"
    bundle = world.bundle("a", "sh", "-c", script, log=LogOptions(path=""))
    streams = await world.client.attach("a", before_start=True)
    before = private_bytes(world.supervisor())
    await world.client.start(bundle)
    taken, stops = 0, 4
    expected = LINE * (2 + (1 << 20) // len(LINE))
    async with asyncio.timeout(60):
        while piece := await streams.read():
            start = taken % len(LINE)
            assert piece == (1, expected[start : start + len(piece[1])])
            taken += len(piece[1])
            if taken > (5 - stops) * FLOOD // 5 and stops:
                stops -= 1
                await asyncio.sleep(0.2)
                assert private_bytes(world.supervisor()) - before < 8 * BUFFER_MAX
    assert taken == FLOOD
    assert (await world.client.wait("a")).code == 0


async def test_input_waits_for_a_container_that_does_not_read(world: World) -> None:
    streams = await world.client.attach("a", before_start=True)
    waits = "while ! test -e /tmp/go; do sleep 0.02; done; wc -c"
    await world.client.start(world.bundle("a", "sh", "-c", waits, open_stdin=True))
    before = private_bytes(world.supervisor())
    size = 20 << 20

    async def give() -> None:
        await streams.write(b"x" * size)
        await streams.close_input()

    async with asyncio.TaskGroup() as group:
        giving = group.create_task(give())
        await asyncio.sleep(0.3)
        assert not giving.done()
        assert private_bytes(world.supervisor()) - before < 16 * INPUT_MAX
        touch = await world.client.spawn("a", FurtherProcess(argv=("touch", "/tmp/go")))
        assert await touch.wait() == 0
        touch.streams.close()
    assert (await all_of(streams))[1] == b"%d\n" % size


async def test_what_it_never_reads_is_dropped(world: World) -> None:
    streams = await world.client.attach("a", before_start=True)
    await world.client.start(world.bundle("a", "sleep", "0.3", open_stdin=True))
    async with asyncio.timeout(10):
        await streams.write(b"x" * (20 << 20))
        assert await streams.read() is None
    await world.client.start(world.bundle("b", "sleep", "100"))
    spawned = await world.client.spawn("b", FurtherProcess(argv=("true",), open_stdin=True))
    async with asyncio.timeout(10):
        await spawned.streams.write(b"x" * (20 << 20))
    assert await spawned.wait() == 0
    spawned.streams.close()


async def test_everything_goes_both_ways_at_once(world: World) -> None:
    streams = await world.client.attach("a", before_start=True)
    await world.client.start(world.bundle("a", "cat", open_stdin=True, log=LogOptions(path="")))
    content = os.urandom(8 << 20)

    async def give() -> None:
        await streams.write(content)
        await streams.close_input()

    async with asyncio.TaskGroup() as group:
        group.create_task(give())
        said = await all_of(streams)
    assert said[1] == content


async def test_a_further_process_goes_both_ways_at_once(world: World) -> None:
    await world.client.start(world.bundle("a", "sleep", "100"))
    spawned = await world.client.spawn("a", FurtherProcess(argv=("cat",), open_stdin=True))
    content = os.urandom(8 << 20)

    async def give() -> None:
        await spawned.streams.write(content)
        await spawned.streams.close_input()

    async with asyncio.TaskGroup() as group:
        group.create_task(give())
        said = await all_of(spawned.streams)
    assert said[1] == content
    assert await spawned.wait() == 0
    spawned.streams.close()


# -- coming and going ------------------------------------------------------------------------------


async def test_two_are_attached_at_once(world: World) -> None:
    first = await world.client.attach("a", before_start=True)
    await world.client.start(world.bundle("a", "cat", open_stdin=True))
    second = await world.client.attach("a")
    deaf = await world.client.attach("a", with_output=False)
    await first.write(b"one\n")
    assert await read_until(first, b"one\n") == await read_until(second, b"one\n")
    await second.resize(10, 10)  # Nothing without a terminal.
    await second.write(b"two\n")
    assert await read_until(first, b"two\n") == await read_until(second, b"two\n")
    first.close()
    await second.close_input()
    assert await all_of(second) == {1: b"", 2: b""}
    assert await deaf.read() is None
    assert world.lines("a") == ["one", "two"]


@pytest.mark.parametrize("once", [False, True])
async def test_stdin_once_ends_with_the_first_who_leaves(world: World, *, once: bool) -> None:
    streams = await world.client.attach("a", before_start=True)
    onlooker = await world.client.attach("a", before_start=True, with_input=False)
    await world.client.start(world.bundle("a", "cat", open_stdin=True, stdin_once=once))
    onlooker.close()
    await streams.write(b"x")
    await read_until(streams, b"x")
    streams.close()
    if once:
        assert (await asyncio.wait_for(world.client.wait("a"), 5)).code == 0
    else:
        await asyncio.sleep(0.2)
        assert await world.client.running() == {"a"}


async def test_those_who_cannot_be_attached_are_told(world: World) -> None:
    with pytest.raises(NotFoundError):
        await world.client.attach("a")
    waiting = await world.client.attach("a", before_start=True)
    with pytest.raises(InvalidInputError):
        await world.client.start(world.bundle("a", "nonesuch"))
    assert await waiting.read() is None
    await world.client.start(world.bundle("a", "sleep", "100"))
    for _ in range(MEMBERS_MAX):
        await world.client.attach("a")
    with pytest.raises(UnavailableError, match="are attached"):
        await world.client.attach("a")
    with pytest.raises(NotFoundError, match="no terminal"):
        await world.client.resize("a", 1, 1)


async def test_programs_that_cannot_run_are_told(world: World) -> None:
    await world.client.start(world.bundle("a", "sleep", "100"))
    before = descriptors(os.getpid()), descriptors(world.supervisor())
    with pytest.raises(InvalidInputError, match="executable file not found"):
        await world.client.spawn("a", FurtherProcess(argv=("nonesuch",), tty=True))
    with pytest.raises(InvalidInputError, match="nobody-here"):
        await world.client.spawn("a", FurtherProcess(argv=("true",), user="nobody-here"))
    with pytest.raises(InvalidInputError, match="working directory"):
        await world.client.spawn("a", FurtherProcess(argv=("true",), cwd="/none"))
    with pytest.raises(NotFoundError):
        await world.client.spawn("b", FurtherProcess(argv=("true",)))
    await until_descriptors(world.supervisor(), before[1])
    await until_descriptors(os.getpid(), before[0])


ATTACHED = """
import asyncio, sys
from pathlib import Path
from worker.runtime.bundle import FurtherProcess
from worker.runtime.client import RuntimeClient

async def main():
    client = RuntimeClient(Path(sys.argv[1]) / "exec", sys.argv[2])
    streams = await client.attach("a")
    spawned = await client.spawn("a", FurtherProcess(argv=("cat",), open_stdin=True))
    print("attached", spawned.pid, flush=True)
    await asyncio.sleep(100)

asyncio.run(main())
"""


async def test_a_client_that_is_killed_holds_nothing_up(world: World) -> None:
    """It had not read a byte: the container stood still. All others go on, and so does the container."""
    script = "cat; yes line | head -n 150000; echo done >&2"
    await world.client.start(world.bundle("a", "sh", "-c", script, open_stdin=True))
    before = descriptors(world.supervisor())
    command = [sys.executable, "-c", ATTACHED, str(world.root), world.parent]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    said = await process.stdout.readline()
    assert said.startswith(b"attached")
    onlooker = await world.client.attach("a")
    await onlooker.close_input()
    await read_until(onlooker, b"line\n" * 1000)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    rest = await all_of(onlooker)
    assert rest[2] == b"done\n"
    assert (await world.client.wait("a")).code == 0
    assert world.lines("a") == ["line"] * 150000
    assert not Path(f"/proc/{int(said.split()[1])}").exists()
    await until_descriptors(world.supervisor(), before)


async def test_hundreds_of_further_processes_leave_nothing(world: World) -> None:
    await world.client.start(world.bundle("a", "sleep", "100"))

    async def one(number: int) -> None:
        tty = number % 3 == 0
        argv = ("sh", "-c", f"echo {number}; exit {number % 200}")
        detached = number % 5 == 0
        process = FurtherProcess(argv=argv, tty=tty, open_stdin=number % 2 == 0, detached=detached)
        spawned = await world.client.spawn("a", process)
        said = (await all_of(spawned.streams))[1].strip()
        assert said == (b"" if detached else b"%d" % number)
        assert await spawned.wait() == number % 200
        spawned.streams.close()

    await one(1)
    before = descriptors(os.getpid()), descriptors(world.supervisor())
    for start in range(0, 240, 60):
        async with asyncio.TaskGroup() as group:
            for number in range(start, start + 60):
                group.create_task(one(number))
    await until_descriptors(world.supervisor(), before[1])
    await until_descriptors(os.getpid(), before[0])


async def test_all_goes_on_in_a_supervisor_with_other_code(world: World) -> None:
    """Input, terminal, who is attached, who waits for a start, and further processes are handed over."""
    piped = await world.client.attach("a", before_start=True)
    typed = await world.client.attach("b", before_start=True)
    await world.client.start(world.bundle("a", "cat", open_stdin=True))
    await world.client.start(world.bundle("b", "sh", tty=True, open_stdin=True))
    waiting = await world.client.attach("c", before_start=True)
    spawned = await world.client.spawn("a", FurtherProcess(argv=("cat",), open_stdin=True))
    argv = ("sh", "-c", "while ! test -e /tmp/x; do sleep 0.02; done; exit 9")
    alone = await world.client.spawn("b", FurtherProcess(argv=argv, tty=True, detached=True))
    async with replaced(world) as newer:
        await asks_and_hears(piped, b"hello\n", b"hello\n")
        await asks_and_hears(typed, b"echo $((6 * 7)); touch /tmp/x\n", b"42")
        await typed.resize(12, 34)
        await asks_and_hears(typed, b"stty size\n", b"12 34")
        assert await alone.wait() == 9
        await spawned.streams.write(b"on")
        await spawned.streams.close_input()
        assert (await all_of(spawned.streams))[1] == b"on"
        assert await spawned.wait() == 0
        spawned.streams.close()
        await newer.start(world.bundle("c", "echo", "c"))
        assert (await all_of(waiting))[1] == b"c\n"
        await piped.close_input()
        assert (await newer.wait("a")).code == 0
        assert await piped.read() is None


@contextlib.asynccontextmanager
async def replaced(world: World) -> AsyncIterator[RuntimeClient]:
    """The supervisor has become one of other code, in its own place."""
    before = world.supervisor()
    newer = RuntimeClient(world.root / "exec", world.parent)
    newer._supervision.stamp = "other"
    async with newer:
        assert world.supervisor() == before
        yield newer


async def asks_and_hears(streams: Streams, words: bytes, answer: bytes) -> None:
    await streams.write(words)
    await read_until(streams, answer)


async def test_the_end_of_the_supervisor_is_told(world: World) -> None:
    streams = await world.client.attach("a", before_start=True)
    await world.client.start(world.bundle("a", "sleep", "100", open_stdin=True))
    spawned = await world.client.spawn("a", FurtherProcess(argv=("cat",), open_stdin=True))
    os.kill(world.supervisor(), signal.SIGKILL)
    with pytest.raises(UnavailableError):
        await streams.read()
    with pytest.raises(UnavailableError):
        await spawned.wait()
    assert await spawned.streams.read() is None
    spawned.streams.close()


# -- the supervisor of an older release --------------------------------------------------------------

OF_0_1_0 = """
import fcntl, marshal, os, socket, sys
root, parent, program, log = sys.argv[1:5]
for name in ("exits", "running"):
    os.makedirs(f"{root}/{name}")
open(f"{root}/running/a", "w").close()
lock = os.open(f"{root}/supervisor.lock", os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)
listening = socket.socket(socket.AF_UNIX)
listening.bind(f"{root}/supervisor.sock")
os.chmod(f"{root}/supervisor.sock", 0o600)
listening.listen()
(out, their_out), (err, their_err) = os.pipe(), os.pipe()
pid = os.fork()
if pid == 0:
    os.setsid()
    os.dup2(their_out, 1)
    os.dup2(their_err, 2)
    os.execv("/bin/busybox", ["sh", "-c", "echo before; read x; sleep 3; echo after; exit 3"])
os.close(their_out)
os.close(their_err)
process = {
    "argv": ["sh"], "env": [], "cwd": "/", "user": "", "groups": [], "capabilities": 0,
    "no_new_privileges": False, "ulimits": [], "oom_score_adj": 0,
}
streams = [("stdout", out, b""), ("stderr", err, b"")]
own = (lock, listening.fileno())
content = (1, own, (1024, 4096), [("a", pid, process, streams, (log, 0, 1))])
memory = os.memfd_create("handover", 0)
os.write(memory, marshal.dumps(content, 2))
for fd in (*own, out, err):
    os.set_inheritable(fd, True)
command = [sys.executable, "-S", "-E", "-P", "-X", "utf8", program, root, parent, "0.1.0", "1024"]
os.execv(command[0], [*command, "--resume", str(memory)])
"""


async def test_an_upgrade_takes_over_from_the_supervisor_of_0_1_0(root: Path) -> None:
    """What that one hands on and says is written out here, as it is on machines out there."""
    parent = f"/swarmd-test-runtime-{os.getpid()}"
    log = root / "log"
    client = RuntimeClient(root / "exec", parent)
    arguments = (str(root / "exec"), parent, client._supervision.command()[-5], str(log))
    former = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OF_0_1_0, *arguments, stdin=subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(10):
            while not (root / "exec/supervisor.pid").exists():
                await asyncio.sleep(0.02)
        async with client:
            assert int((root / "exec/supervisor.pid").read_text()) == former.pid
            assert await client.running() == {"a"}
            streams = await client.attach("a")
            assert (await all_of(streams))[1] == b"after\n"
            assert (await client.wait("a")).code == 3
            said = [json.loads(line)["log"] for line in log.read_text().splitlines()]
            assert said == ["before\n", "after\n"]
            await client.cleanup("a")
            await client.shutdown()
        assert await former.wait() == 0
    finally:
        if former.returncode is None:
            former.kill()
            await former.wait()
