"""A cluster in virtual time: real dispatchers, loops and agents; networks, clocks and machines that fail.

Every machine has clocks of its own, which differ and do not run at the same pace. A manager that lost the lead may go
on answering the agents that still reach it, without knowing what was committed since.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from typing_extensions import override

from common.apart import apart
from common.bell import Bell
from common.errors import NoLeaderError, UnavailableError
from common.model.cluster import Cluster, ClusterSpec, DispatcherConfig
from common.model.node import Node, NodeDescription
from common.protocol.channel import Channel, ChannelClosedError, LocalChannel, local_channel
from common.protocol.messages import Message
from manager.control.registry import run_loops
from manager.dispatcher.server import Dispatcher
from manager.store.changes import Create
from manager.store.store import Store, memory_store
from manager.store.watch import Watch
from tests.support.fake_clock import FakeClock, settle
from tests.support.fake_containers import KILLED, FakeContainers
from tests.support.fake_ports import FakePorts
from worker.agent.agent import Agent, Machine
from worker.containers.files import ContainerFile
from worker.containers.record import Container, ContainerState
from worker.runtime.leases import LOOK_MS

DRIFT_MAX = 0.0004
"""Share by which a clock runs too fast or too slow: two of them differ by less than ``disconnect.CLOCK_DRIFT``."""
HEARTBEAT_SECONDS = 1.0
DELAY_SECONDS_MAX = 0.3
"""How long a message may be on its way."""


class OwnClock:
    """The clocks of one machine."""

    def __init__(self, clock: FakeClock, chance: random.Random) -> None:
        self._clock = clock
        self._rate = 1 + chance.uniform(-DRIFT_MAX, DRIFT_MAX)
        self._ahead, self._wall_ahead = chance.uniform(0, 1e6), chance.uniform(-1e4, 1e4)
        self.boots = 1

    def now(self) -> float:
        return 1e6 + self._wall_ahead + self._clock.now() * self._rate

    def monotonic(self) -> float:
        return self._ahead + self._clock.now() * self._rate

    def seconds(self) -> float:
        return self.monotonic()

    def boot_id(self) -> str:
        return str(self.boots)

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds / self._rate)


class OwnView:
    """The store as one manager has it: once it is deposed it learns nothing, and can do nothing."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.is_deposed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def propose(self, changes: Any) -> int:
        if self.is_deposed and changes:
            raise NoLeaderError
        return await self._store.propose(changes)

    async def up_to_date(self) -> None:
        if self.is_deposed:
            raise NoLeaderError
        await self._store.up_to_date()

    def watch(self) -> Any:
        return _OwnWatch(self, self._store.watch())


class _OwnWatch:
    def __init__(self, view: OwnView, watch: Watch) -> None:
        self._view, self._watch = view, watch

    async def __aenter__(self) -> Self:
        await self._watch.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._watch.__aexit__(kind, error, trace)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._watch, name)

    def waiting(self) -> Any:
        return () if self._view.is_deposed else self._watch.waiting()

    async def take(self) -> Any:
        news = await self._watch.take()
        if self._view.is_deposed:
            await asyncio.Event().wait()
        return news


class Reign:
    """A manager that leads, or thinks so."""

    def __init__(self, store: Store, clock: OwnClock, chance: random.Random) -> None:
        self.view = OwnView(store)
        self.clock, self._chance = clock, chance
        self.dispatcher = Dispatcher(self.view, clock, chance)  # type: ignore[arg-type]
        self._tasks: list[asyncio.Task[Any]] = []

    def begin(self, group: asyncio.TaskGroup) -> None:
        loops = run_loops(self.view, self.clock, self._chance)  # type: ignore[arg-type]
        self._tasks = [
            group.create_task(self._unless_deposed(self.dispatcher.run())),
            group.create_task(self._unless_deposed(loops)),
        ]

    def end(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def serve(self, channel: LocalChannel) -> None:
        await self._unless_deposed(self.dispatcher.serve(channel))

    async def _unless_deposed(self, work: Any) -> None:
        """A leader's work ends when the store refuses it, and in no other way."""
        try:
            await apart(work)
        except* UnavailableError:
            assert self.view.is_deposed


class SlowChannel:
    """An agent's side of a channel on a network that is slow, and that may be cut without either side knowing."""

    def __init__(self, inner: LocalChannel, clock: FakeClock, chance: random.Random) -> None:
        self._inner, self._clock, self._chance = inner, clock, chance
        self.is_cut = False

    async def send(self, message: Message) -> None:
        await self._clock.sleep(self._chance.uniform(0, DELAY_SECONDS_MAX))
        if not self.is_cut:
            await self._inner.send(message)

    async def receive(self) -> Message:
        while True:
            message = await self._inner.receive()
            await self._clock.sleep(self._chance.uniform(0, DELAY_SECONDS_MAX))
            if not self.is_cut:
                return message

    def close(self) -> None:
        self._inner.close()


class SlowContainers(FakeContainers):
    """Containers that use all of the time they get to stop; whoever starts one is seen."""

    def __init__(self, cluster: "LeasedCluster", name: str) -> None:
        super().__init__()
        self._cluster, self._name = cluster, name

    @override
    async def start(self, container_id: str, files: Sequence[ContainerFile] = ()) -> Container:
        container = await super().start(container_id, files)
        self._cluster.check_copies()
        return container

    @override
    async def stop(self, container_id: str, *, grace_seconds: float) -> Container:
        await self._cluster.clock.sleep(grace_seconds)
        return await super().stop(container_id, grace_seconds=grace_seconds)

    def look(self, now: float) -> None:
        """As the supervisor does, whether the agent lives or not."""
        for one in self.running():
            _, kill_at = self.limits.get(one.id, (0.0, float("inf")))
            if now >= kill_at:
                self.exit(one.config.task_id, KILLED)

    def running(self) -> list[Container]:
        return [one for one in self.all() if one.state is ContainerState.RUNNING]


class Worker:
    """A host with its agent."""

    def __init__(self, cluster: "LeasedCluster", name: str, directory: Path) -> None:
        self._cluster, self.name = cluster, name
        self.clock = OwnClock(cluster.clock, cluster.chance)
        self.containers = SlowContainers(cluster, name)
        self._machine = Machine(
            containers=self.containers,
            ports=FakePorts([]),
            describe=lambda: NodeDescription(hostname=name),
            description_changed=Bell(self.clock),
            memory=directory / name / "assignments",
            clock=self.clock,
            chance=random.Random(cluster.chance.random()),
            boot_clock=self.clock,
        )
        self._agent: asyncio.Task[Any] | None = None
        self._channels: list[SlowChannel] = []
        self.is_cut = False
        self.old_manager: Reign | None = None
        """The only manager that it reaches: one that does not lead any more."""

    def start(self, group: asyncio.TaskGroup) -> None:
        if self._agent is None:
            self._agent = group.create_task(Agent(self.name, self._connect, self._machine).run())

    async def supervise(self) -> None:
        while True:
            await self._cluster.clock.sleep(LOOK_MS / 1000)
            self.containers.look(self.clock.seconds())

    async def kill(self) -> None:
        """Ends the agent; its containers go on."""
        if self._agent is not None:
            self._agent.cancel()
            with suppress(asyncio.CancelledError):
                await self._agent
            self._agent = None

    async def power_cut(self) -> None:
        await self.kill()
        for container in self.containers.running():
            self.containers.exit(container.config.task_id, KILLED)
        self.clock.boots += 1

    def cut(self) -> None:
        """Nobody is told, and nothing gets through."""
        self.is_cut = True
        for channel in self._channels:
            channel.is_cut = True
        self._channels.clear()

    def heal(self) -> None:
        if self.old_manager is not None:
            self.cut()  # what it had with that one
        self.is_cut, self.old_manager = False, None

    async def _connect(self) -> Channel:
        manager = self.old_manager or self._cluster.leader
        if self.is_cut or manager is None:
            raise ChannelClosedError
        theirs, ours = local_channel()
        channel = SlowChannel(ours, self._cluster.clock, self._cluster.chance)
        self._channels.append(channel)
        self._cluster.serve(manager, theirs)
        return channel


class LeasedCluster:
    """The managers as one store with one reign after the other, and the workers."""

    def __init__(self, seed: int, directory: Path, names: tuple[str, ...]) -> None:
        self.clock, self.chance = FakeClock(), random.Random(seed)
        self.store = memory_store(OwnClock(self.clock, self.chance), self.chance)
        self.workers = {name: Worker(self, name, directory) for name in names}
        self.leader: Reign | None = None
        self.old: list[Reign] = []
        self.group: asyncio.TaskGroup | None = None
        self.checked: set[str] = set()
        """Services of which two copies of one slot must never run."""
        self.worst = ""

    async def begin(self) -> None:
        spec = ClusterSpec(dispatcher=DispatcherConfig(heartbeat_period_seconds=HEARTBEAT_SECONDS))
        await self.store.propose([Create(object=Cluster(id="cluster", spec=spec))])
        await self.store.propose([Create(object=Node(id=name)) for name in self.workers])
        await self.lead()
        assert self.group is not None
        for worker in self.workers.values():
            worker.start(self.group)
            self.group.create_task(worker.supervise())

    async def lead(self) -> None:
        """Another manager leads. The former one does not know it until ``forget_old``."""
        if self.leader is not None:
            self.leader.view.is_deposed = True
            self.old.append(self.leader)
        assert self.group is not None
        store = await self.store.begin_reign()
        self.leader = Reign(store, OwnClock(self.clock, self.chance), self.chance)
        self.leader.begin(self.group)
        await settle()

    def forget_old(self) -> None:
        """Former leaders learn that they are."""
        for reign in self.old:
            reign.end()
        self.old.clear()

    def serve(self, manager: Reign, channel: LocalChannel) -> None:
        assert self.group is not None
        self.group.create_task(manager.serve(channel))

    def copies(self) -> dict[tuple[str, str], list[str]]:
        """The nodes on which each slot runs."""
        found: dict[tuple[str, str], list[str]] = {}
        for name, worker in self.workers.items():
            for container in worker.containers.running():
                service, slot, _ = container.config.name.split(".")
                found.setdefault((service, slot), []).append(name)
        return found

    def check_copies(self) -> None:
        for (service, slot), names in self.copies().items():
            if service in self.checked and len(names) > 1:
                self.worst = f"{self.clock.now():.2f}: {service}.{slot} runs on {names}"

    async def end(self) -> None:
        for worker in self.workers.values():
            await worker.kill()
        self.forget_old()
        if self.leader is not None:
            self.leader.end()


@asynccontextmanager
async def leased_cluster(
    seed: int, directory: Path, names: tuple[str, ...] = ("w1", "w2", "w3")
) -> AsyncIterator[LeasedCluster]:
    cluster = LeasedCluster(seed, directory, names)
    async with asyncio.TaskGroup() as cluster.group:
        await cluster.begin()
        await cluster.clock.advance(2)
        yield cluster
        await cluster.end()
        for task in asyncio.all_tasks():
            if task is not asyncio.current_task() and not task.done():
                task.cancel()
