"""A directory, a control group and a supervisor of our own, in which tests of the runtime run real containers."""

import asyncio
import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from common.errors import NotFoundError
from worker.kernel.cgroupfs import find_hierarchies
from worker.runtime.bundle import Bundle, LogOptions, RootFs
from worker.runtime.capabilities import DEFAULT_CAPABILITIES
from worker.runtime.client import RuntimeClient

BUSYBOX = Path("/bin/busybox")
APPLETS = [
    "sh",
    "ls",
    "cat",
    "id",
    "sleep",
    "mknod",
    "mount",
    "echo",
    "true",
    "hostname",
    "ps",
    "kill",
    "head",
    "tail",
    "yes",
    "dd",
    "grep",
    "readlink",
    "touch",
    "seq",
    "tr",
    "wc",
    "mkdir",
    "stat",
    "cut",
    "df",
    "setsid",
    "stty",
    "tty",
    "env",
    "sed",
    "find",
    "sort",
    "chmod",
]


@dataclass
class World:
    """A directory, a cgroup parent and a client of our own."""

    root: Path
    parent: str
    client: RuntimeClient
    runtime: str = ""
    """The program that makes containers; "" is our own."""
    made: list[str] = field(default_factory=list)

    @property
    def base(self) -> Path:
        return self.root / "base"

    def bundle(self, name: str, *argv: str, **changes: object) -> Bundle:
        """A container's bundle; the same name again has the same writable layer."""
        home = self.root / name
        for part in ("upper", "work", "merged"):
            (home / part).mkdir(parents=True, exist_ok=True)
        self.made.append(name)
        bundle = Bundle(
            id=name,
            rootfs=RootFs(
                lower=(str(self.base),),
                upper=str(home / "upper"),
                work=str(home / "work"),
                merged=str(home / "merged"),
            ),
            argv=argv,
            capabilities=DEFAULT_CAPABILITIES,
            runtime=self.runtime,
            log=LogOptions(path=str(home / "log")),
        )
        return replace(bundle, **changes)  # type: ignore[arg-type]  # names of fields

    def layer(self, name: str) -> Path:
        """A further layer, to be filled."""
        path = self.root / f"layer-{name}"
        path.mkdir()
        return path

    def with_layer(self, bundle: Bundle, layer: Path) -> Bundle:
        """The bundle with a layer on top of its own."""
        rootfs = replace(bundle.rootfs, lower=(str(layer), *bundle.rootfs.lower))
        return replace(bundle, rootfs=rootfs)

    def lines(self, name: str, stream: str = "stdout") -> list[str]:
        text = (self.root / name / "log").read_text()
        entries = [json.loads(line) for line in text.splitlines()]
        return [one["log"].rstrip("\n") for one in entries if one["stream"] == stream]

    async def run(self, bundle: Bundle) -> list[str]:
        """Runs it to its end, which must be good; gives the lines it said."""
        await self.client.start(bundle)
        ended = await self.client.wait(bundle.id)
        assert ended.code == 0, self.lines(bundle.id) + self.lines(bundle.id, "stderr")
        return self.lines(bundle.id)

    async def say(self, name: str, script: str, **changes: object) -> list[str]:
        return await self.run(self.bundle(name, "sh", "-c", script, **changes))

    def supervisor(self) -> int:
        return int((self.root / "exec" / "supervisor.pid").read_text())


@pytest.fixture(name="root")
def make_root() -> Iterator[Path]:
    """Short, since the path of a unix socket has a limit."""
    path = Path(tempfile.mkdtemp(prefix="rt-"))
    base = path / "base"
    for directory in ("bin", "etc", "tmp", "root", "home/app"):
        (base / directory).mkdir(parents=True)
    (base / "tmp").chmod(0o1777)
    shutil.copy(BUSYBOX, base / "bin/busybox")
    for applet in APPLETS:
        (base / "bin" / applet).symlink_to("busybox")
    (base / "etc/passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n"
    )
    (base / "etc/group").write_text("root:x:0:\napp:x:1000:\nextra:x:77:app\n")
    yield path
    shutil.rmtree(path)


@pytest.fixture(name="runtime")
def make_runtime(request: pytest.FixtureRequest) -> str:
    """Our own, where a test does not say ``under``."""
    name: str = getattr(request, "param", "")
    return shutil.which(name) or pytest.skip(f"{name} is not here") if name else ""


def under(*names: str) -> pytest.MarkDecorator:
    """A test that is run by each of these runtimes; "" is our own."""
    return pytest.mark.parametrize("runtime", names, ids=[n or "own" for n in names], indirect=True)


@pytest.fixture(name="world")
async def make_world(root: Path, runtime: str) -> AsyncIterator[World]:
    parent = f"/swarmd-test-runtime-{os.getpid()}"
    client = RuntimeClient(root / "exec", parent)
    await client.open()
    world = World(root, parent, client, runtime)
    try:
        yield world
    finally:
        for name in dict.fromkeys(world.made):
            await client.kill(name)
            with contextlib.suppress(NotFoundError):
                await client.wait(name)
            await client.cleanup(name)
        supervisor = world.supervisor()
        await client.shutdown()
        assert left_groups(parent) == []
        assert mounts_of(root) == []
        assert not await lives_after_a_while(supervisor)
        assert [path.name for path in (root / "exec/exits").iterdir()] == []
        assert [path.name for path in (root / "exec/running").iterdir()] == []
        assert list((root / "exec").glob("oci/*")) == []
        assert not (root / "exec/supervisor.sock").exists()


def mounts_of(root: Path) -> list[str]:
    """What of ours is mounted on the host; other programs may mount meanwhile."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if str(root) in line]


def left_groups(parent: str) -> list[str]:
    found = find_hierarchies(Path("/proc/self/mountinfo").read_text())
    places = {*found.controllers.values(), found.unified} - {""}
    return [f"{place}{parent}" for place in places if Path(f"{place}{parent}").exists()]


async def lives_after_a_while(pid: int) -> bool:
    for _ in range(100):
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or ") Z " in state.read_text():
            return False
        await asyncio.sleep(0.02)
    return True
