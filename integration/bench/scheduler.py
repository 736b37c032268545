"""How fast waiting tasks get nodes, and what a stored task costs.

Counted as SwarmKit's own benchmark does: nodes and tasks are in an in-memory store; the time runs from the start of
the scheduler, its first look at all of them included, until one watcher has seen the last task assigned. Batches of at
most 200 changes are encoded, committed and applied, and every watcher is told.
"""

import asyncio
import gc
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from common.clock import SystemClock
from common.garbage import walk_old_objects_rarely
from common.ids import container_id_source, id_source
from common.model.container_spec import ContainerSpec
from common.model.node import Node, NodeDescription, NodeSpec, NodeState, NodeStatus
from common.model.placement import Placement, PlacementPreference, Platform, SpreadOver
from common.model.resources import ResourceRequirements, Resources
from common.model.task import ContainerStatus, Task, TaskSpec, TaskState, TaskStatus
from integration.bench.fresh_process import in_fresh_process, pss_bytes
from integration.bench.rows import Row, row
from manager.scheduler.loop import run_scheduler
from manager.store.changes import AllocateTask, AssignTask, Change, Create, ObserveTask
from manager.store.store import MAX_CHANGES_PER_ENTRY, Store, memory_store

SIZES = ((1000, 1000), (1000, 10_000), (1000, 100_000), (10_000, 10_000), (10_000, 100_000))
VARIED_SIZES = ((1000, 10_000), (10_000, 100_000))
"""The sizes at which the rows beside the bare ones are measured."""
GROUP = 1000
"""Tasks of one service when they are grouped."""
SAMPLES = 3
ZONES = 10
GIB = 1 << 30
NODE_HAS = Resources(nano_cpus=8 * 10**9, memory_bytes=16 * GIB)
RESERVATIONS = [
    Resources(nano_cpus=cpus * 10**7, memory_bytes=cpus * GIB // 64) for cpus in (10, 25, 50, 100)
]
"""From a tenth of a processor to a whole one: together they fill a little over half of each node."""
TICK_SECONDS = 0.002
BEGUN_AT = 1_700_000_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one sample places."""

    nodes: int
    tasks: int
    is_grouped: bool
    kind: str = ""
    """"" for plain tasks, "reservations", "constraints" or "spread"."""

    @property
    def name(self) -> str:
        """The row's name."""
        grouping = "grouped" if self.is_grouped else "ungrouped"
        return f"{self.nodes} nodes {self.tasks} tasks {grouping} {self.kind}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one run took."""

    seconds: float
    longest_hold_seconds: float


def measure() -> Iterator[Row]:
    """Every row of the benchmark."""
    for load in _loads():
        samples = [in_fresh_process(place_all, load) for _ in range(SAMPLES)]
        rates = [load.tasks / sample.seconds for sample in samples]
        yield row("scheduler", load.name, "tasks/s", rates)
        if load.tasks == max(tasks for _, tasks in SIZES) and not load.kind:
            holds = [sample.longest_hold_seconds * 1000 for sample in samples]
            yield row("scheduler", f"{load.name} longest hold of the event loop", "ms", holds)
    for is_grouped, word in ((True, ""), (False, " ungrouped")):
        memory = [
            in_fresh_process(memory_per_task, 100_000, is_grouped=is_grouped)
            for _ in range(SAMPLES)
        ]
        yield row("scheduler", f"memory per stored task{word}", "bytes", memory)


def _loads() -> Iterator[Load]:
    for kind in ("", "reservations", "constraints", "spread"):
        for nodes, tasks in VARIED_SIZES if kind else SIZES:
            for is_grouped in (True, False):
                yield Load(nodes=nodes, tasks=tasks, is_grouped=is_grouped, kind=kind)


# --------------------------------------------------------------------------------------- samples


def place_all(load: Load) -> Sample:
    """Places a load once, in this process."""
    return asyncio.run(_place_all(load))


def memory_per_task(count: int, *, is_grouped: bool) -> float:
    """What a task costs in the store with its share of its spec, when it runs and has a container."""
    return asyncio.run(_memory_per_task(count, is_grouped=is_grouped))


async def _place_all(load: Load) -> Sample:
    walk_old_objects_rarely()  # as swarmd does when it starts
    chance = random.Random(1)
    store = memory_store(SystemClock(), chance)
    await _propose(store, [Create(object=node) for node in _nodes(load.nodes, chance)])
    tasks = list(_tasks(load, TaskState.PENDING, chance))
    await _propose(store, [Create(object=task) for task in tasks])
    del tasks
    gc.collect()
    async with asyncio.TaskGroup() as group, store.watch() as watch:
        holds: list[float] = []
        ticking = group.create_task(_tick(holds))
        await asyncio.sleep(TICK_SECONDS)
        holds.clear()
        begun = time.perf_counter()
        running = group.create_task(run_scheduler(store, SystemClock()))
        placed = 0
        while placed < load.tasks:
            for committed in await watch.take():
                placed += sum(_is_placed(changed.new) for changed in committed.changed)
        seconds = time.perf_counter() - begun
        running.cancel()
        ticking.cancel()
    return Sample(seconds=seconds, longest_hold_seconds=max(holds, default=0.0))


async def _memory_per_task(count: int, *, is_grouped: bool) -> float:
    chance = random.Random(1)
    store = memory_store(SystemClock(), chance)
    await _propose(store, [Create(object=node) for node in _nodes(1000, chance)])
    nodes = list(store.state.nodes)
    load = Load(nodes=1000, tasks=count, is_grouped=is_grouped)
    new_container_id = container_id_source(chance)
    gc.collect()
    before = pss_bytes()
    for number, task in enumerate(_tasks(load, TaskState.NEW, chance)):
        node_id = nodes[number % len(nodes)]
        index = await store.propose([Create(object=task)])
        index = await store.propose([AllocateTask(task_id=task.id, basis=index)])
        await store.propose([AssignTask(task_id=task.id, basis=index, node_id=node_id)])
        container = ContainerStatus(container_id=new_container_id(), pid=1000 + number)
        status = TaskStatus(
            state=TaskState.RUNNING,
            timestamp=BEGUN_AT + number,
            message="started",
            container_status=container,
        )
        await store.propose([ObserveTask(task_id=task.id, node_id=node_id, status=status)])
    gc.collect()
    return (pss_bytes() - before) / count


async def _propose(store: Store, changes: Sequence[Change]) -> None:
    for start in range(0, len(changes), MAX_CHANGES_PER_ENTRY):
        await store.propose(changes[start : start + MAX_CHANGES_PER_ENTRY])


async def _tick(holds: list[float]) -> None:
    """Notes how long others computed before it had its turn again; the machine's other processes do not count."""
    while True:
        begun = time.thread_time()
        await asyncio.sleep(TICK_SECONDS)
        holds.append(time.thread_time() - begun)


def _is_placed(item: object) -> bool:
    return isinstance(item, Task) and item.status.state == TaskState.ASSIGNED


# ------------------------------------------------------------------------------------ the cluster


def _nodes(count: int, chance: random.Random) -> Iterator[Node]:
    new_id = id_source(chance)
    for number in range(count):
        yield Node(
            id=new_id(),
            spec=NodeSpec(labels={"zone": f"z{number % ZONES}"}),
            description=NodeDescription(
                hostname=f"host-{number}",
                platform=Platform(os="linux", architecture="x86_64"),
                resources=NODE_HAS,
            ),
            status=NodeStatus(state=NodeState.READY, addr=f"10.1.{number // 250}.{number % 250}"),
        )


def _tasks(load: Load, state: TaskState, chance: random.Random) -> Iterator[Task]:
    new_id, size = id_source(chance), GROUP if load.is_grouped else 1
    for service in range(-(-load.tasks // size)):
        service_id, spec = new_id(), _spec(load.kind, service)
        for slot in range(1, min(size, load.tasks - service * size) + 1):
            yield Task(
                id=new_id(),
                service_id=service_id,
                service_name=f"service-{service}",
                slot=slot,
                spec=spec,
                spec_version=1,
                status=TaskStatus(state=state, timestamp=BEGUN_AT),
            )


def _spec(kind: str, service: int) -> TaskSpec:
    container = ContainerSpec(image=f"registry.example.com/team/image:{service}")
    match kind:
        case "reservations":
            reserved = RESERVATIONS[service % len(RESERVATIONS)]
            return TaskSpec(
                container_spec=container, resources=ResourceRequirements(reservations=reserved)
            )
        case "constraints":
            constraint = f"node.labels.zone==z{service % ZONES}"
            return TaskSpec(
                container_spec=container, placement=Placement(constraints=(constraint,))
            )
        case "spread":
            over = PlacementPreference(spread=SpreadOver(spread_descriptor="node.labels.zone"))
            return TaskSpec(container_spec=container, placement=Placement(preferences=(over,)))
        case _:
            return TaskSpec(container_spec=container)
