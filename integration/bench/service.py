"""What a user of services waits for, and what a node with a hundred tasks costs.

Both sides are driven by the same calls of the Engine API: a swarmd of our own in a network namespace, and the daemon
that listens on the socket in ``PEER_DOCKER_HOST``, if that is set. Their images have the same content and are named by
their ids: for any other name dockerd asks a registry before each start, and may wait for seconds. Every sample ends
when the task list says so, asked every ``POLL_SECONDS``, or every ``POLL_MANY_SECONDS`` where many tasks are waited
for. Our samples of a row are taken first, then the peer's; nothing else runs on the idle side.

Memory is the proportional share (PSS) of every process that a container needs beside its own: here swarmd and its
supervisor, there dockerd, containerd, its shims and proxies. Processor time at 100 tasks is that of the same processes
while nothing happens; that of scaling is the whole machine's, so that no helper that has ended is forgotten.
"""

import contextlib
import io
import itertools
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from integration.bench import processes
from integration.bench.engine import Engine, kill_task, wait
from integration.bench.rows import Peer, Row, row
from integration.host import Host

POLL_SECONDS = 0.002
POLL_MANY_SECONDS = 0.02
STARTS = 15
KILLS = 10
SAMPLES = 5
SETTLE_SECONDS = 2.0
IDLE_SECONDS = 10.0
MIB = 1 << 20
ROLL, PARALLELISM = 20, 5
IMAGE = "swarmd-bench:1"
PREFIX = "swarmd-bench-"
WAITS_FOR_SIGTERM = "trap 'exit 0' TERM; mkfifo /tmp/wait; read -r line <>/tmp/wait"
"""One process that does nothing and ends at once when it is told to."""
PEER_SOCKET = "PEER_DOCKER_HOST"

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two that are measured."""

    engine: Engine
    image: str
    """By its id."""
    family: Callable[[], Sequence[int]]
    """The processes that are its cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """One sample of scaling a service of one task."""

    seconds: float
    busy_seconds: float
    memory_mib: float
    idle_percent: float


def measure() -> Iterator[Row]:
    """Every row of the benchmark."""
    with _ours() as ours, _peer() as peer:
        both = _Both(ours, peer)
        yield both.row("create to running", "ms", _starts)
        yield from _scale_rows(both, 50)
        yield from _scale_rows(both, 100)
        yield both.row(f"rolling update of {ROLL}", "s", _rolls)
        yield both.row("kill to replacement", "ms", _kills)


def _scale_rows(both: "_Both", replicas: int) -> Iterator[Row]:
    name = f"scale 1 to {replicas}"
    ours, peer = both.take(lambda side: [_scale(side, replicas) for _ in range(SAMPLES)])

    def of(name: str, unit: str, look: Callable[[Scaling], float]) -> Row:
        return both.as_row(name, unit, *([look(one) for one in found] for found in (ours, peer)))

    yield of(name, "s", lambda one: one.seconds)
    yield of(f"{name} cpu", "s", lambda one: one.busy_seconds)
    if replicas == 100:
        yield of("memory at 100 tasks", "MiB", lambda one: one.memory_mib)
        yield of("cpu at 100 tasks", "% of a processor", lambda one: one.idle_percent)


# ---------------------------------------------------------------------------------------- samples


def _starts(side: Side) -> list[float]:
    return [_start(side) for _ in range(STARTS)]


def _start(side: Side) -> float:
    engine = side.engine
    begun = time.perf_counter()
    service = _create(side, 1)
    engine.wait_running(service, 1, POLL_SECONDS)
    seconds = time.perf_counter() - begun
    engine.remove(service)
    return seconds * 1000


def _scale(side: Side, replicas: int) -> Scaling:
    engine = side.engine
    service = _create(side, 1)
    engine.wait_running(service, 1, POLL_SECONDS)
    time.sleep(SETTLE_SECONDS)
    busy, begun = processes.busy_seconds(), time.perf_counter()
    engine.scale(service, replicas)
    engine.wait_running(service, replicas, POLL_MANY_SECONDS)
    seconds, busy = time.perf_counter() - begun, processes.busy_seconds() - busy
    time.sleep(SETTLE_SECONDS)
    family = side.family()
    idle = processes.cpu_seconds(family)
    time.sleep(IDLE_SECONDS)
    idle = processes.cpu_seconds(family) - idle
    memory = processes.memory_bytes(family)
    engine.remove(service)
    return Scaling(
        seconds=seconds,
        busy_seconds=busy,
        memory_mib=memory / MIB,
        idle_percent=100 * idle / IDLE_SECONDS,
    )


def _rolls(side: Side) -> list[float]:
    engine = side.engine
    service = _create(side, ROLL, UpdateConfig={"Parallelism": PARALLELISM, "Delay": 0})
    engine.wait_running(service, ROLL, POLL_MANY_SECONDS)
    found = [_roll(engine, service, f"ROUND={number}") for number in range(SAMPLES)]
    engine.remove(service)
    return found


def _roll(engine: Engine, service: str, environment: str) -> float:
    time.sleep(SETTLE_SECONDS)

    def change(spec: dict[str, Any]) -> None:
        spec["TaskTemplate"]["ContainerSpec"]["Env"] = [environment]

    def renewed() -> bool:
        specs = [task["Spec"]["ContainerSpec"] for task in engine.running(service)]
        return bool(sum(spec.get("Env") == [environment] for spec in specs) >= ROLL)

    begun = time.perf_counter()
    engine.update(service, change)
    wait("the update", renewed, poll_seconds=POLL_MANY_SECONDS)
    seconds = time.perf_counter() - begun
    wait("the end of the update", lambda: _is_settled(engine, service), poll_seconds=0.2)
    return seconds


def _is_settled(engine: Engine, service: str) -> bool:
    status = engine.call("GET", f"/services/{service}").get("UpdateStatus", {})
    return bool(status.get("State") == "completed")


def _kills(side: Side) -> list[float]:
    engine = side.engine
    service = _create(side, 1)
    engine.wait_running(service, 1, POLL_SECONDS)
    found = [_kill(engine, service) for _ in range(KILLS)]
    engine.remove(service)
    return found


def _kill(engine: Engine, service: str) -> float:
    time.sleep(SETTLE_SECONDS)
    (task,) = engine.running(service)
    begun = time.perf_counter()
    kill_task(task)
    wait(
        "the replacement",
        lambda: [one for one in engine.running(service) if one["ID"] != task["ID"]],
        poll_seconds=POLL_SECONDS,
    )
    return (time.perf_counter() - begun) * 1000


def _create(side: Side, replicas: int, **more: Any) -> str:
    name = f"{PREFIX}{os.getpid()}-{next(_numbers)}"
    return side.engine.create(name, side.image, replicas, **more)


# ------------------------------------------------------------------------------------------ sides


class _Both:
    """Ours and, where there is one, the peer."""

    def __init__(self, ours: Side, peer: Side | None) -> None:
        self._ours, self._peer = ours, peer

    def take(self, sample: Callable[[Side], list[Any]]) -> tuple[list[Any], list[Any]]:
        """Samples of ours and of the peer, none without a peer."""
        return sample(self._ours), sample(self._peer) if self._peer else []

    def row(self, name: str, unit: str, sample: Callable[[Side], list[float]]) -> Row:
        """A measurement that makes one row."""
        return self.as_row(name, unit, *self.take(sample))

    @staticmethod
    def as_row(name: str, unit: str, ours: list[float], peer: list[float]) -> Row:
        """The row of these samples."""
        beside = Peer(name="dockerd", samples=peer) if peer else None
        return row("service", name, unit, ours, beside)


@contextlib.contextmanager
def _ours() -> Iterator[Side]:
    name = f"swarmd-b{os.getpid()}"
    directory = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    host = Host(name, directory)
    host.options = ["--log-level", "info"]  # the last one counts
    try:
        host.make()
        host.start()
        engine = Engine(host.socket.removeprefix("unix://"))
        with _ready(engine) as image:
            family = lambda: processes.with_words([str(directory)])  # noqa: E731
            yield Side(engine=engine, image=image, family=family)
    finally:
        host.remove()


@contextlib.contextmanager
def _peer() -> Iterator[Side | None]:
    path = os.environ.get(PEER_SOCKET, "").removeprefix("unix://")
    if not path:
        yield None
        return
    engine = Engine(path)
    with _ready(engine) as image:
        family = lambda: processes.docker_family(engine.daemon_pid())  # noqa: E731
        yield Side(engine=engine, image=image, family=family)


@contextlib.contextmanager
def _ready(engine: Engine) -> Iterator[str]:
    """Gives the image's id, in a swarm. Afterwards all is as it was, also when a measurement broke off."""
    with contextlib.ExitStack() as stack:
        if engine.call("GET", "/info")["Swarm"]["LocalNodeState"] != "active":
            engine.call("POST", "/swarm/init", {"ListenAddr": "0.0.0.0:2377"})
            stack.callback(engine.call, "POST", "/swarm/leave?force=true")
        command = f'CMD ["/bin/sh", "-c", "{WAITS_FOR_SIGTERM}"]'
        image = engine.import_image(archive_of_busybox(), IMAGE, command)
        stack.callback(engine.call, "DELETE", f"/images/{IMAGE}")
        stack.callback(engine.remove_all, f"{PREFIX}{os.getpid()}-")
        yield image


def archive_of_busybox() -> bytes:
    """An image of static busybox, and nothing else."""
    busybox = shutil.which("busybox")
    assert busybox is not None, "busybox is not installed"
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        for name in ("bin", "tmp"):
            directory = tarfile.TarInfo(name)
            directory.type, directory.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            archive.addfile(directory)
        archive.add(busybox, "bin/busybox", filter=_as_root)
        for name in ("sh", "mkfifo"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
    return held.getvalue()


def _as_root(item: tarfile.TarInfo) -> tarfile.TarInfo:
    item.uid = item.gid = 0
    item.uname = item.gname = "root"
    return item
