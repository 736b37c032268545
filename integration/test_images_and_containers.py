"""Images for the real overlayfs, volumes filled from them, and containers made of both by the real supervisor."""

import asyncio
import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from common.clock import SystemClock
from common.errors import InvalidInputError
from common.events import EventLog
from common.ids import container_id_source, system_chance
from common.model.container_spec import (
    ContainerSpec,
    HealthConfig,
    Mount,
    MountType,
    VolumeOptions,
)
from tests.support.archives import chunks, directory, docker_archive, entry, file, symlink, tar
from tests.support.fake_machinery import FakeNetworks
from worker.containers.engine import LocalEngine, Surroundings
from worker.containers.log_lines import LogQuery
from worker.containers.record import Container, ContainerConfig, ContainerState, Health
from worker.containers.workshop import Machinery
from worker.images.reference import parse_reference
from worker.images.store import ImageStore
from worker.runtime.client import RuntimeClient
from worker.volumes.local import LocalVolumes

BUSYBOX = Path("/bin/busybox")
APPLETS = ("sh", "cat", "ls", "echo", "sleep", "stat", "true", "test", "env", "rm", "touch")
PATIENCE_SECONDS = 20

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not BUSYBOX.exists(), reason="needs busybox-static"),
]


def base_layer() -> bytes:
    busybox = entry("bin/busybox", data=BUSYBOX.read_bytes())
    passwd = file("etc/passwd", b"root:x:0:0:root:/:/bin/sh\nweb:x:33:33:web:/:/bin/sh\n")
    content = entry("data/owned", data=b"from the image", uid=33, gid=33, mode=0o640)
    return tar(
        directory("bin"),
        busybox,
        *(symlink(f"bin/{name}", "busybox") for name in APPLETS),
        directory("etc"),
        passwd,
        directory("data"),
        content,
        file("data/old/deep", b"1"),
        file("hidden", b"2"),
        file("opaque/below", b"3"),
    )


TOP_LAYER = tar(
    file(".wh.hidden", b""),
    directory("opaque"),
    file("opaque/.wh..wh..opq", b""),
    file("opaque/above", b"4"),
    file("data/.wh.old", b""),
    entry("capable", data=b"x", pax_headers={"SCHILY.xattr.user.colour": "blue"}),
)


class Node:
    """A node's local half in a directory and a cgroup of its own, without a network."""

    def __init__(self, root: Path, parent: str) -> None:
        self.root, self.parent = root, parent
        self.clock = SystemClock()
        self.events = EventLog(self.clock)
        self.new_id = container_id_source(system_chance())
        self.images = ImageStore(str(root / "images"), self.clock, self.events)
        self.volumes = LocalVolumes(
            str(root / "volumes"), self.clock, self.events, container_id_source(system_chance())
        )
        self.runtime = RuntimeClient(root / "run", parent)

    @asynccontextmanager
    async def engine(self) -> AsyncIterator[LocalEngine]:
        await self.images.open()
        await self.volumes.open()
        machinery = Machinery(
            runtime=self.runtime,
            images=self.images,
            networks=FakeNetworks(),
            volumes=self.volumes,
        )
        around = Surroundings(clock=self.clock, events=self.events, new_id=self.new_id)
        async with (
            self.runtime,
            LocalEngine(str(self.root), str(self.root / "run"), machinery, around) as engine,
        ):
            yield engine

    async def load(self) -> None:
        archive = docker_archive(
            [base_layer(), TOP_LAYER], tags=["box:1"], config={"Volumes": {"/data": {}}}
        )
        await self.images.load(chunks(archive, 65536))


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    # Not pytest's own directory: overlayfs and sockets want short paths.
    root = Path(tempfile.mkdtemp(prefix="swarmd-engine-"))
    made = Node(root, f"/swarmd-test-engine-{os.getpid()}")
    yield made
    async with made.engine() as engine:
        for container in engine.all():
            await engine.remove(container.id)
    await RuntimeClient(root / "run", made.parent).shutdown()
    shutil.rmtree(root)


def config(*argv: str, name: str = "one", **spec: object) -> ContainerConfig:
    wanted = replace(ContainerSpec(image="box:1", command=argv), **spec)  # type: ignore[arg-type]
    return ContainerConfig(name=name, spec=wanted, network="none")


async def until(
    engine: LocalEngine, container_id: str, ready: Callable[[Container], bool]
) -> Container:
    async with asyncio.timeout(PATIENCE_SECONDS):
        news = engine.changed()
        while not ready(engine.find(container_id)):
            await anext(news)
    return engine.find(container_id)


async def run(engine: LocalEngine, wanted: ContainerConfig) -> tuple[int, str]:
    """Exit code and output of a container, which is removed."""
    container = await engine.create(wanted)
    await engine.start(container.id)
    ended = await until(engine, container.id, lambda item: item.state is ContainerState.EXITED)
    lines = [record.data.decode() async for record in engine.logs(container.id, LogQuery())]
    await engine.remove(container.id)
    return ended.exit_code, "".join(lines)


async def test_layers_hide_and_replace_what_is_below_them(node: Node) -> None:
    async with node.engine() as engine:
        await node.load()
        script = "ls /opaque; test ! -e /hidden && test ! -e /data/old && cat /data/owned"

        code, output = await run(engine, config("sh", "-c", script))

        capable = Path(node.images.resolve("box:1").layers[0], "capable")
        assert (code, output) == (0, "above\nfrom the image")
        assert os.getxattr(capable, "user.colour") == b"blue"


async def test_a_volume_is_filled_once_and_keeps_what_containers_write(node: Node) -> None:
    mount = Mount(type=MountType.VOLUME, source="store", target="/data")
    empty = replace(mount, source="bare", volume_options=VolumeOptions(no_copy=True))
    async with node.engine() as engine:
        await node.load()
        look = "stat -c '%n %u %a' /data/*; test ! -e /data/old"

        first = await run(engine, config("sh", "-c", f"{look}; touch /data/new", mounts=(mount,)))
        second = await run(engine, config("sh", "-c", f"rm /data/owned; {look}", mounts=(mount,)))
        third = await run(engine, config("sh", "-c", "ls /data", mounts=(mount,)))
        bare = await run(engine, config("sh", "-c", "ls /data", mounts=(empty,)))

        assert first == (0, "/data/owned 33 640\n")
        assert second == (0, "/data/new 0 644\n")
        assert third == (0, "new\n")
        assert bare == (0, "")
        assert [volume.name for volume in node.volumes.all()] == ["bare", "store"]
    await node.volumes.open()
    assert [volume.name for volume in node.volumes.all()] == ["bare", "store"]


async def test_an_images_volume_is_anonymous_and_goes_with_its_container(node: Node) -> None:
    async with node.engine() as engine:
        await node.load()
        container = await engine.create(config("cat", "/data/owned"))
        assert len(node.volumes.all()) == 1

        await engine.start(container.id)
        await until(engine, container.id, lambda item: item.state is ContainerState.EXITED)
        lines = [record.data async for record in engine.logs(container.id, LogQuery())]
        await engine.remove(container.id)

        assert lines == [b"from the image"]
        assert node.volumes.all() == []


async def test_etc_files_environment_user_and_tmpfs(node: Node) -> None:
    tmpfs = Mount(type=MountType.TMPFS, target="/scratch")
    script = "cat /etc/hostname /etc/hosts; echo $A $HOSTNAME; touch /scratch/x && echo wrote"
    async with node.engine() as engine:
        await node.load()

        code, output = await run(
            engine,
            config(
                "sh",
                "-c",
                script,
                hostname="h.example",
                hosts=("10.1.2.3 db db.example",),
                env=("A=1",),
                user="web",
                mounts=(tmpfs,),
            ),
        )

    assert code == 0
    assert output.startswith("h.example\n127.0.0.1\tlocalhost\n")
    assert "10.1.2.3\tdb db.example\n" in output
    assert output.endswith("1 h.example\nwrote\n")


async def test_health_is_found_out_in_the_container_itself(node: Node) -> None:
    check = HealthConfig(test=("CMD-SHELL", "test -e /ready"), interval_seconds=0.5, retries=2)
    async with node.engine() as engine:
        await node.load()
        container = await engine.create(
            config("sh", "-c", "touch /ready; sleep 1; rm /ready; sleep 60", healthcheck=check)
        )

        await engine.start(container.id)
        await until(engine, container.id, lambda item: item.health.state is Health.HEALTHY)
        await until(engine, container.id, lambda item: item.health.state is Health.UNHEALTHY)
        stopped = await engine.stop(container.id, grace_seconds=0)

        assert stopped.exit_code == 137


async def test_a_program_that_is_not_there(node: Node) -> None:
    async with node.engine() as engine:
        await node.load()
        container = await engine.create(config("/no/such"))

        with pytest.raises(InvalidInputError, match="no such file"):
            await engine.start(container.id)

        assert engine.find(container.id).exit_code == 127


async def test_containers_go_on_while_the_engine_is_away(node: Node) -> None:
    async with node.engine() as engine:
        await node.load()
        long = await engine.create(config("sleep", "60", name="long"))
        short = await engine.create(
            config("sh", "-c", "sleep 0.3; echo done; exit 3", name="short")
        )
        before = await engine.start(long.id)
        await engine.start(short.id)
    await asyncio.sleep(1)

    async with node.engine() as engine:
        after, ended = engine.find("long"), engine.find("short")
        lines = [record.data async for record in engine.logs(short.id, LogQuery(tail=1))]

    assert (after.state, after.pid) == (ContainerState.RUNNING, before.pid)
    assert (ended.state, ended.exit_code, lines) == (ContainerState.EXITED, 3, [b"done\n"])


async def test_importing_a_tree_and_running_it(node: Node) -> None:
    async with node.engine() as engine:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as archive:
            archive.add(BUSYBOX, "bin/busybox")
        await node.images.import_(
            chunks(out.getvalue(), 65536),
            name=parse_reference("tiny:1"),
            changes=['ENTRYPOINT ["/bin/busybox"]', 'CMD ["echo", "hello"]'],
        )

        result = await run(engine, config(image="tiny:1"))

    assert result == (0, "hello\n")


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    assert "swarmd-engine-" not in Path("/proc/self/mounts").read_text()
    parent = f"swarmd-test-engine-{os.getpid()}"
    groups = Path("/sys/fs/cgroup")
    assert [*groups.glob(f"*/{parent}"), *groups.glob(parent)] == []
