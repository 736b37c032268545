"""The local engine with real containers, images and volumes, without a daemon and without any network."""

import asyncio
import contextlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.clock import SystemClock
from common.events import EventLog
from common.ids import container_id_source, system_chance
from common.model.container_spec import ContainerSpec, Mount
from tests.support.archives import directory, docker_archive, entry, file, symlink, tar
from tests.support.fake_machinery import FakeNetworks
from worker.containers.bundle_of import Places
from worker.containers.engine import LocalEngine, Surroundings
from worker.containers.record import Container, ContainerConfig
from worker.containers.workshop import Machinery, Workshop
from worker.images.store import ImageStore
from worker.runtime.client import RuntimeClient
from worker.volumes.local import LocalVolumes

BUSYBOX = Path("/bin/busybox")
APPLETS = (
    "sh",
    "ls",
    "cat",
    "sleep",
    "mount",
    "ln",
    "mv",
    "mkdir",
    "rm",
    "echo",
    "touch",
    "stat",
    "readlink",
    "test",
)


def busybox_layer(*more: tuple[tarfile.TarInfo, bytes]) -> bytes:
    return tar(
        directory("bin"),
        entry("bin/busybox", data=BUSYBOX.read_bytes()),
        *(symlink(f"bin/{name}", "busybox") for name in APPLETS),
        directory("etc"),
        file("etc/passwd", b"root:x:0:0::/:/bin/sh\nuser:x:1000:1001::/home:/bin/sh\n"),
        file("etc/group", b"root:x:0:\nusers:x:1001:\n"),
        directory("data"),
        file("data/of-the-image", b"from the image\n"),
        *more,
    )


async def chunks(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 65536):
        yield data[start : start + 65536]


@dataclass
class Lab:
    engine: LocalEngine
    images: ImageStore
    volumes: LocalVolumes
    runtime: RuntimeClient
    events: EventLog
    machinery: Machinery
    root: Path

    async def load(self, layer: bytes, tag: str = "lab:1") -> None:
        await self.images.load(chunks(docker_archive([layer], tags=(tag,))))

    async def create(
        self, name: str, *argv: str, mounts: tuple[Mount, ...] = (), **spec: Any
    ) -> str:
        image = spec.pop("image", "lab:1")
        wanted = ContainerSpec(image=image, command=argv, mounts=mounts, **spec)
        config = ContainerConfig(name=name, spec=wanted, network="none")
        return (await self.engine.create(config)).id

    async def run(self, name: str, script: str = "exec sleep 600", **more: Any) -> str:
        container_id = await self.create(name, "sh", "-c", script, **more)
        await self.engine.start(container_id)
        return container_id

    def places(self, container_id: str) -> Places:
        return Workshop(f"{self.root}/data", f"{self.root}/run", self.machinery).places(
            container_id
        )

    async def until(self, container_id: str, path: str) -> None:
        """Until a file is there."""
        async with asyncio.timeout(30):
            while not await self.say(container_id, f"ls {path} 2>/dev/null"):
                await asyncio.sleep(0.02)

    async def ended(self, container_id: str) -> Container:
        async with asyncio.timeout(30):
            await self.runtime.wait(container_id)
            while (found := self.engine.get(container_id)) and found.state.value != "exited":
                await asyncio.sleep(0.02)
        assert found is not None
        return found

    async def get(self, container_id: str, path: str) -> bytes:
        async with self.engine.trees.get(container_id, path) as reading:
            return b"".join([piece async for piece in reading.pieces])

    async def put(self, container_id: str, path: str, data: bytes, **how: bool) -> None:
        options = {"is_strict": True, "as_user": False, **how}
        await self.engine.trees.put(container_id, path, chunks(data), **options)

    async def say(self, container_id: str, script: str) -> list[str]:
        done = await self.runtime.exec(
            container_id, ["sh", "-c", script], timeout_seconds=20, output_max_bytes=65536
        )
        return done.output.decode().splitlines()


def unpacked(data: bytes) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isreg() else None
            found[member.name] = (member, content.read() if content else b"")
    return found


@contextlib.asynccontextmanager
async def engine_on(root: Path, parent: str) -> AsyncIterator[Lab]:
    """The engine over what is in a directory; it may be entered again, as after a restart."""
    clock, chance = SystemClock(), system_chance()
    events = EventLog(clock)
    data, run = root / "data", root / "run"
    for path in (data, run):
        path.mkdir(exist_ok=True)
    images = ImageStore(str(data / "images"), clock, events)
    new_id = container_id_source(chance)
    volumes = LocalVolumes(str(data / "volumes"), clock, events, new_id)
    await images.open()
    await volumes.open()
    runtime = RuntimeClient(run, parent, clock=clock)
    machinery = Machinery(runtime=runtime, images=images, networks=FakeNetworks(), volumes=volumes)
    around = Surroundings(clock=clock, events=events, new_id=new_id)
    async with runtime, LocalEngine(str(data), str(run), machinery, around) as engine:
        yield Lab(engine, images, volumes, runtime, events, machinery, root)


def _take_away(root: Path) -> None:
    subprocess.run(["umount", "-R", str(root)], check=False, capture_output=True)
    shutil.rmtree(root, ignore_errors=True)


@contextlib.asynccontextmanager
async def lab(name: str) -> AsyncIterator[Lab]:
    """All of it in a directory of its own; nothing is left."""
    root = Path(tempfile.mkdtemp(prefix=f"swarmd-test-{name}-"))
    parent = f"/swarmd-test-{name}-{os.getpid()}"
    try:
        async with engine_on(root, parent) as one:
            await one.load(busybox_layer())
            try:
                yield one
            finally:
                for container in one.engine.all():
                    await one.engine.remove(container.id)
                await one.runtime.shutdown()
    finally:
        left = Path("/proc/self/mountinfo").read_text().count(str(root))
        _take_away(root)
    assert left == 0, "mounts were left on the host"
