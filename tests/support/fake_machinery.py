"""What the local engine composes, without any of it: processes, images, networks and volumes that only say so."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from common.clock import Clock
from common.errors import NotFoundError
from common.model.container_spec import Mount
from worker.images.resolved import ResolvedImage
from worker.network.attachment import Attachment, Sandbox
from worker.runtime.bundle import (
    Bundle,
    CgroupLimits,
    ExecResult,
    Exit,
    FurtherProcess,
    RunLease,
    Usage,
)
from worker.volumes.place import VolumePlace


@dataclass
class FakeStreams:
    """What a test puts into ``output`` is read; what is written is kept."""

    output: asyncio.Queue[tuple[int, bytes] | None] = field(default_factory=asyncio.Queue)
    written: list[bytes] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    input_ended: bool = False
    closed: bool = False

    async def read(self) -> tuple[int, bytes] | None:
        return await self.output.get()

    async def write(self, data: bytes) -> None:
        self.written.append(data)

    async def close_input(self) -> None:
        self.input_ended = True

    async def resize(self, rows: int, columns: int) -> None:
        self.sizes.append((rows, columns))

    def close(self) -> None:
        self.closed = True


@dataclass
class FakeSpawned:
    """A further process that ends when a test says so."""

    process: FurtherProcess
    pid: int
    streams: FakeStreams = field(default_factory=FakeStreams)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    code: int = 0

    async def wait(self) -> int:
        await self.ended.wait()
        return self.code

    def end(self, code: int) -> None:
        self.code = code
        self.ended.set()


@dataclass
class FakeRuntime:
    """Containers run until a test, a signal or a kill ends them. It outlives the engine, as the supervisor does."""

    clock: Clock
    bundles: dict[str, Bundle] = field(default_factory=dict)
    pids: dict[str, int] = field(default_factory=dict)
    exits: dict[str, Exit] = field(default_factory=dict)
    signals: list[tuple[str, int]] = field(default_factory=list)
    ignored_signals: set[int] = field(default_factory=set)
    leases: dict[str, RunLease] = field(default_factory=dict)
    refusal: Exception | None = None
    probe: ExecResult = field(default_factory=lambda: ExecResult(code=0, output=b""))
    probes: list[tuple[str, ...]] = field(default_factory=list)
    frozen: set[str] = field(default_factory=set)
    _waiting: list[tuple[str, int]] = field(default_factory=list)
    """Signals for what is frozen."""
    limits: dict[str, CgroupLimits] = field(default_factory=dict)
    spawned: list[FakeSpawned] = field(default_factory=list)
    attached: list[tuple[str, FakeStreams]] = field(default_factory=list)
    attach_options: list[tuple[bool, bool, bool]] = field(default_factory=list)
    sizes: list[tuple[str, int, int]] = field(default_factory=list)
    further_refusal: Exception | None = None
    """Of what a runtime does beyond a task's life."""
    _ended: asyncio.Condition = field(default_factory=asyncio.Condition)

    def meet_again(self) -> None:
        """It goes on in another event loop."""
        self._ended = asyncio.Condition()

    async def start(self, bundle: Bundle) -> int:
        if self.refusal is not None:
            raise self.refusal
        self.bundles[bundle.id] = bundle
        self.exits.pop(bundle.id, None)
        self.pids[bundle.id] = pid = 1000 + len(self.bundles)
        await asyncio.sleep(0)  # whoever asked may be gone before it hears of it
        return pid

    async def end(self, container_id: str, code: int, *, oom_killed: bool = False) -> None:
        async with self._ended:
            del self.bundles[container_id]
            del self.pids[container_id]
            self.frozen.discard(container_id)
            self.exits[container_id] = Exit(
                id=container_id, code=code, oom_killed=oom_killed, at=self.clock.now()
            )
            self._ended.notify_all()

    async def signal(self, container_id: str, number: int) -> None:
        self.signals.append((container_id, number))
        if container_id in self.frozen:
            self._waiting.append((container_id, number))
            return
        if container_id in self.bundles and number not in self.ignored_signals:
            await self.end(container_id, 128 + number)

    async def kill(self, container_id: str) -> None:
        self.signals.append((container_id, 9))
        if container_id in self.bundles and 9 not in self.ignored_signals:
            await self.end(container_id, 137)

    async def lease(self, leases: Sequence[RunLease]) -> None:
        self.leases |= {lease.id: lease for lease in leases}

    async def wait(self, container_id: str) -> Exit:
        if container_id not in self.bundles and container_id not in self.exits:
            raise NotFoundError(f"container {container_id} has not been started")
        async with self._ended:
            await self._ended.wait_for(lambda: container_id in self.exits)
        return self.exits[container_id]

    async def exec(
        self,
        container_id: str,
        argv: Sequence[str],
        *,
        timeout_seconds: float,
        output_max_bytes: int,
    ) -> ExecResult:
        self.probes.append(tuple(argv))
        return self.probe

    async def cleanup(self, container_id: str) -> None:
        self.exits.pop(container_id, None)

    async def running(self) -> frozenset[str]:
        return frozenset(self.bundles)

    # ------------------------------------------------------------------- beyond a task's life

    def _check_runs(self, container_id: str) -> None:
        if self.further_refusal is not None:
            raise self.further_refusal
        if container_id not in self.bundles:
            raise NotFoundError(f"container {container_id} does not run")

    async def attach(
        self,
        container_id: str,
        *,
        before_start: bool = False,
        with_input: bool = True,
        with_output: bool = True,
    ) -> FakeStreams:
        if self.further_refusal is not None:
            raise self.further_refusal
        if not before_start:
            self._check_runs(container_id)
        self.attached.append((container_id, FakeStreams()))
        self.attach_options.append((before_start, with_input, with_output))
        return self.attached[-1][1]

    async def spawn(self, container_id: str, process: FurtherProcess) -> FakeSpawned:
        self._check_runs(container_id)
        self.spawned.append(FakeSpawned(process, 2001 + len(self.spawned)))
        return self.spawned[-1]

    async def resize(self, container_id: str, rows: int, columns: int) -> None:
        self._check_runs(container_id)
        self.sizes.append((container_id, rows, columns))

    async def pause(self, container_id: str) -> None:
        self._check_runs(container_id)
        self.frozen.add(container_id)
        await asyncio.sleep(0)

    async def resume(self, container_id: str) -> None:
        self._check_runs(container_id)
        self.frozen.discard(container_id)
        await asyncio.sleep(0)
        waiting, self._waiting = self._waiting, []
        for one, number in waiting:
            await self.signal(one, number)

    async def limit(self, container_id: str, limits: CgroupLimits) -> None:
        self._check_runs(container_id)
        self.limits[container_id] = limits

    async def usage(self, container_id: str) -> Usage:
        self._check_runs(container_id)
        return Usage(pids=1)

    async def first_processes(self) -> Mapping[str, int]:
        return self.pids

    async def processes(self, container_id: str) -> Sequence[int]:
        self._check_runs(container_id)
        return [1000]


@dataclass
class FakeImages:
    images: dict[str, ResolvedImage] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)

    def resolve(self, reference: str) -> ResolvedImage:
        for name, image in self.images.items():
            if reference in (name, image.id):
                return image
        raise NotFoundError(f"No such image: {reference}")

    def hold(self, image_id: str, container_id: str) -> None:
        self.held[container_id] = image_id

    def release(self, container_id: str) -> None:
        self.held.pop(container_id, None)


@dataclass
class FakeNetworks:
    attached: set[str] = field(default_factory=set)
    refusal: Exception | None = None
    """Of taking away."""

    async def attach(self, container_id: str) -> Sandbox:
        self.attached.add(container_id)
        await asyncio.sleep(0)
        attachment = Attachment(address="10.0.0.2", prefix_length=16, gateway="10.0.0.1")
        return Sandbox(
            namespace=f"/netns/{container_id}", attachment=attachment, nameservers=("9.9.9.9",)
        )

    async def detach(self, container_id: str) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.attached.discard(container_id)

    async def reconcile(self, keep: Collection[str]) -> None:
        self.attached &= set(keep)


@dataclass
class FakeVolumes:
    held: set[tuple[str, str]] = field(default_factory=set)
    running: set[tuple[str, str]] = field(default_factory=set)
    refusal: Exception | None = None

    async def acquire(
        self, mount: Mount, container_id: str, *, layers: Sequence[str]
    ) -> VolumePlace:
        if self.refusal is not None:
            raise self.refusal
        name = mount.source or "anonymous"
        self.hold(name, container_id)
        return VolumePlace(name=name, path=f"/volumes/{name}/_data")

    def hold(self, name: str, container_id: str) -> None:
        self.held.add((name, container_id))

    def options(self, name: str) -> Mapping[str, str]:
        return {}

    async def begin(
        self, name: str, container_id: str, *, destination: str, read_only: bool
    ) -> None:
        self.running.add((name, container_id))

    async def end(self, container_id: str) -> None:
        self.running = {item for item in self.running if item[1] != container_id}

    async def release(self, container_id: str, *, keep_anonymous: bool = False) -> None:
        self.held = {item for item in self.held if item[1] != container_id}

    async def sweep(self, running: Collection[str] = ()) -> None:
        return
