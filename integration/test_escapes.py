"""Ways out of a container that were ways out once, each tried and refused."""

import asyncio
import contextlib
import ctypes
import hashlib
import json
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from common.errors import InvalidInputError, SystemFailureError
from integration import escape_attempts
from integration.runtime_world import BUSYBOX, World
from worker.runtime.bundle import (
    Bundle,
    BundleMount,
    FileContent,
    IdMapping,
    LogOptions,
    Namespaces,
)
from worker.runtime.capabilities import DEFAULT_CAPABILITIES
from worker.runtime.seccomp_programs import seccomp_program

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not BUSYBOX.exists(), reason="needs busybox-static"),
]
LIBC = ctypes.CDLL(None, use_errno=True)
SESSION_KEYRING = ctypes.c_long(-3)
KEYCTL_UNLINK = 9
PYTHON = str(Path(sys.executable).resolve())
LIBRARIES = tuple(path for path in ("/usr", "/lib", "/lib64") if Path(path).exists())
SCRIPT = Path(escape_attempts.__file__)


def with_python(bundle: Bundle, **changes: object) -> Bundle:
    """With this machine's Python and the attempts, to be read."""
    mounts = [BundleMount(target=path, source=path, read_only=True) for path in LIBRARIES]
    mounts.append(BundleMount(target="/attempts.py", source=str(SCRIPT), read_only=True))
    mounts.append(BundleMount(target="/read-only", source="/etc", read_only=True))
    return replace(bundle, mounts=(*mounts, *bundle.mounts), **changes)  # type: ignore[arg-type]


@dataclass
class Guessed:
    """What an attacker could know of the host."""

    facts: dict[str, object]


@pytest.fixture
def guessed(root: Path) -> Iterator[Guessed]:
    disk = Path("/").stat().st_dev
    marker = root / "marker"
    marker.write_text("of the host")
    name = f"swarmd-test-{os.getpid()}"
    key = LIBC.syscall(escape_attempts.ADD_KEY, b"user", name.encode(), b"x", 1, SESSION_KEYRING)
    assert key > 0
    with contextlib.ExitStack() as stack:
        stack.callback(
            LIBC.syscall, escape_attempts.KEYCTL, KEYCTL_UNLINK, ctypes.c_long(key), SESSION_KEYRING
        )
        hidden = stack.enter_context(socket.socket(socket.AF_UNIX))
        hidden.bind(f"\0{name}")
        hidden.listen()
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield Guessed(
            {
                "disk": (os.major(disk), os.minor(disk)),
                "pid": os.getpid(),
                "marker": str(marker),
                "socket": name,
                "port": listening.getsockname()[1],
                "key": name,
            }
        )


def attacking(world: World, guessed: Guessed, **changes: object) -> Bundle:
    """A container that tries everything as root."""
    env = ("PATH=/bin", f"FACTS={json.dumps(guessed.facts)}")
    bundle = world.bundle("a", PYTHON, "-S", "-E", "/attempts.py", env=env)
    return with_python(bundle, seccomp=seccomp_program("", DEFAULT_CAPABILITIES), **changes)


def escaped(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.partition("\t")[2].startswith("refused: ")]


STATE = (
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/panic",
    "/proc/sys/kernel/hostname",
    "/proc/sys/net/ipv4/ip_forward",
    "/sys/kernel/mm/transparent_hugepage/enabled",
)


def state_of_host() -> list[object]:
    """What an attempt that got through would have changed."""
    null = Path("/dev/null").stat()
    files = [Path(path).read_text() for path in STATE if Path(path).exists()]
    return [*files, null.st_mode, null.st_uid, null.st_gid]


ATTACKERS = ("by default", "without a filter", "as a user", "as a further process", "beside --init")


@pytest.mark.parametrize("attacker", ATTACKERS)
async def test_every_attempt_is_refused(world: World, guessed: Guessed, attacker: str) -> None:
    before = state_of_host()
    bundle = attacking(world, guessed)
    if attacker == "without a filter":
        bundle = replace(bundle, seccomp=b"", env=(*bundle.env, "SKIP_FILTERED=1"))
    elif attacker == "as a user":
        bundle = replace(bundle, user="app", no_new_privileges=True)
    elif attacker == "beside --init":
        bundle = replace(bundle, init=True)
    if attacker == "as a further process":
        await world.client.start(replace(bundle, argv=("sleep", "1000")))
        result = await world.client.exec(
            "a", bundle.argv, timeout_seconds=60, output_max_bytes=1 << 20
        )
        said = result.output.decode().splitlines()
    else:
        said = await world.run(bundle)
    assert escaped(said) == []
    assert len(said) > ATTEMPTS_MIN
    assert state_of_host() == before


ATTEMPTS_MIN = 75


# -- the runtime's own program -----------------------------------------------------------------------

OVERWRITE = """
import os, sys
sys.stdout.reconfigure(line_buffering=True)
fd = os.open("/proc/self/exe", os.O_RDONLY)
print(os.readlink("/proc/self/exe"))
for path in ("/proc/self/exe", f"/proc/self/fd/{fd}"):
    try:
        os.write(os.open(path, os.O_WRONLY), b"overwritten")
        print("ESCAPED")
    except OSError as error:
        print("refused", error.strerror)
os.set_inheritable(fd, True)
os.execv("/bin/sh", ["sh", "-c", f"echo overwritten > /proc/self/fd/{fd} && echo ESCAPED || echo refused"])
"""


async def test_the_runtimes_program_cannot_be_overwritten(world: World) -> None:
    """The container's command is /proc/self/exe: what is executed is the program that makes containers."""
    program = Path(f"/proc/{world.supervisor()}/exe")
    before = hashlib.sha256(program.read_bytes()).digest()
    argv = ("/proc/self/exe", "-S", "-E", "-c", OVERWRITE)
    bundle = with_python(world.bundle("a", *argv, env=("PATH=/bin",)))
    said = await world.run(bundle)
    assert [line.partition(" ")[0] for line in said[1:]] == ["refused"] * 3
    await world.client.start(with_python(world.bundle("b", "sleep", "1000")))
    result = await world.client.exec("b", argv, timeout_seconds=30, output_max_bytes=10_000)
    assert b"ESCAPED" not in result.output
    assert result.output.count(b"refused") == 3
    assert hashlib.sha256(program.read_bytes()).digest() == before


# -- who watches a further process come in -------------------------------------------------------------

WATCH = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
own = {name for name in os.listdir("/proc") if name.isdigit()}
me = os.getpid()
seen = set()
print("watching", flush=True)
while True:
    for name in os.listdir("/proc"):
        if not name.isdigit() or name in own:
            continue
        try:
            exe = os.readlink(f"/proc/{name}/exe")
        except OSError:
            exe = ""
        if "memfd" in exe or "python" in exe:
            print("ESCAPED exe", exe, flush=True)
        for what in ("fd", "map_files", "ns"):
            try:
                for entry in os.listdir(f"/proc/{name}/{what}"):
                    link = os.readlink(f"/proc/{name}/{what}/{entry}")
                    if link.startswith(("/", "anon_inode:", "socket:")) and "/dev/null" not in link and what == "fd":
                        print("ESCAPED fd", link, flush=True)
            except OSError:
                pass
        for what in ("mem", "environ", "root/bin/busybox", "cwd"):
            try:
                fd = os.open(f"/proc/{name}/{what}", os.O_RDONLY)
            except OSError:
                continue
            os.close(fd)
            try:
                exe = os.readlink(f"/proc/{name}/exe")
            except OSError:
                continue
            if "busybox" not in exe:
                print("ESCAPED", what, exe, flush=True)
        tracer = os.fork()
        if tracer == 0:
            if libc.ptrace(0x4206, int(name), None, None) == 0:
                try:
                    exe = os.readlink(f"/proc/{name}/exe")
                except OSError:
                    os._exit(0)
                if "busybox" not in exe:
                    print("ESCAPED trace", exe, flush=True)
            os._exit(0)
        os.waitpid(tracer, 0)
"""


MAPPED = (IdMapping(container_id=0, host_id=300_000, size=65_536),)
WATCHERS = {
    "by default": (Namespaces(), DEFAULT_CAPABILITIES),
    "with the right to trace, in a user namespace": (
        Namespaces(uid_mappings=MAPPED, gid_mappings=MAPPED),
        DEFAULT_CAPABILITIES | {"CAP_SYS_PTRACE"},
    ),
}


@pytest.mark.parametrize(("namespaces", "capabilities"), WATCHERS.values(), ids=WATCHERS)
async def test_nothing_is_had_of_a_process_that_comes_in(
    world: World, namespaces: Namespaces, capabilities: frozenset[str]
) -> None:
    """It has all rights and the host's descriptors until it is confined: it is closed to those who wait for it."""
    bundle = world.bundle("a", PYTHON, "-S", "-E", "-c", WATCH, env=("PATH=/bin",))
    bundle = replace(bundle, namespaces=namespaces, capabilities=capabilities)
    world.root.chmod(0o755)
    await world.client.start(with_python(bundle))
    while "watching" not in world.lines("a"):
        await asyncio.sleep(0.01)
    for _ in range(40):
        result = await world.client.exec(
            "a", ["/bin/true"], timeout_seconds=30, output_max_bytes=100
        )
        assert result.code == 0
    assert world.lines("a") == ["watching"]
    assert world.lines("a", "stderr") == []


KEEP = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
own = {name for name in os.listdir("/proc") if name.isdigit()}
print("keeping", flush=True)
while True:
    for name in os.listdir("/proc"):
        if name.isdigit() and name not in own and libc.ptrace(0x4206, int(name), None, None) == 0:
            own.add(name)
            print("kept", flush=True)
"""


async def test_a_check_that_its_container_keeps_from_ending_is_over_in_time(world: World) -> None:
    """A process that is traced is not the supervisor's to bury, however dead."""
    bundle = world.bundle("a", PYTHON, "-S", "-E", "-c", KEEP, env=("PATH=/bin",))
    await world.client.start(with_python(bundle))
    while "keeping" not in world.lines("a"):
        await asyncio.sleep(0.01)
    check = world.client.exec("a", ["sleep", "1000"], timeout_seconds=2, output_max_bytes=100)
    assert (await asyncio.wait_for(check, 20)).code == -1
    assert world.lines("a") == ["keeping", "kept"]


# -- what others of the host's would notice --------------------------------------------------------------


async def test_the_hosts_null_device_keeps_its_mode(world: World) -> None:
    """A container without a log has /dev/null as all its streams."""
    before = Path("/dev/null").stat()
    script = "chmod 600 /proc/self/fd/0 /proc/self/fd/1 /dev/null; chown app /proc/self/fd/2"
    bundle = world.bundle("a", "sh", "-c", script, log=LogOptions(path=""))
    await world.client.start(bundle)
    assert (await world.client.wait("a")).code in (0, 1, 127)
    await world.client.start(world.bundle("b", "true", user="app", log=LogOptions(path="")))
    await world.client.wait("b")
    after = Path("/dev/null").stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode, before.st_uid, before.st_gid,
    )  # fmt: skip


SWAP = """
import os
print("swapping", flush=True)
while True:
    for target in ("/../../../../../../../../..{outside}", "/proc/1/root", "/proc/self/cwd/../../..{outside}"):
        os.symlink(target, "/volume/.link")
        os.rename("/volume/.link", "/volume/place")
        os.unlink("/volume/place")
        os.mkdir("/volume/place")
        os.rmdir("/volume/place")
"""
STARTS = 25


async def test_links_that_change_while_mounts_are_made_lead_nowhere(
    world: World, tmp_path: Path
) -> None:
    """One container swaps a place in a volume; others are started with mounts there, and below it."""
    outside = tmp_path / "outside"
    outside.mkdir()
    volume = tmp_path / "volume"
    volume.mkdir()
    shared = BundleMount(target="/volume", source=str(volume))
    swap = SWAP.replace("{outside}", str(outside))
    swapper = world.bundle("a", PYTHON, "-S", "-E", "-c", swap, env=("PATH=/bin",))
    await world.client.start(with_python(replace(swapper, mounts=(shared,))))
    while world.lines("a") != ["swapping"]:
        await asyncio.sleep(0.01)
    mounts = Path("/proc/self/mountinfo").read_text().count(str(tmp_path))
    for number in range(STARTS):
        secret = BundleMount(target="/volume/place/file", content=FileContent(data=b"secret"))
        below = BundleMount(target="/volume/place/below")
        of_volume = BundleMount(target="/of-volume", source=str(volume), subpath="place")
        bundle = world.bundle(f"b{number}", "true", mounts=(shared, below, secret, of_volume))
        with contextlib.suppress(InvalidInputError, SystemFailureError):  # the place was gone
            await world.client.start(bundle)
            await world.client.wait(bundle.id)
        assert list(outside.iterdir()) == []
    assert Path("/proc/self/mountinfo").read_text().count(str(tmp_path)) == mounts


async def test_a_mount_of_a_container_comes_to_no_other(world: World, tmp_path: Path) -> None:
    """One that may mount does so in a volume that another has, too."""
    shared = BundleMount(target="/volume", source=str(tmp_path))
    script = (
        "mkdir -p /volume/m; mount -t tmpfs none /volume/m; touch /volume/m/inside; exec sleep 1000"
    )
    able = DEFAULT_CAPABILITIES | {"CAP_SYS_ADMIN"}
    await world.client.start(
        world.bundle("a", "sh", "-c", script, mounts=(shared,), capabilities=able)
    )
    while not (tmp_path / "m").exists():
        await asyncio.sleep(0.01)
    inside = await world.client.exec(
        "a", ["sh", "-c", "while [ ! -e /volume/m/inside ]; do sleep 0.01; done"],
        timeout_seconds=10, output_max_bytes=100,
    )  # fmt: skip
    assert inside.code == 0
    assert await world.say("b", "ls -A /volume/m", mounts=(shared,)) == []
    assert list((tmp_path / "m").iterdir()) == []
