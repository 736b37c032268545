"""What a snapshot of 100,000 running tasks takes: time, the event loop's waits, size, memory, and the way back.

The state is packed and unpacked in a thread, as the log does it, while the event loop ticks. A wait is how much later
than asked for a tick came, other processes of the machine included; the longest of a sample counts.
"""

import asyncio
import gc
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from common.codec import encode
from common.garbage import walk_old_objects_rarely
from common.ids import container_id_source, id_source
from common.model.container_spec import ContainerSpec
from common.model.node import Node
from common.model.service import Replicated, Service, ServiceSpec
from common.model.task import ContainerStatus, Task, TaskSpec, TaskState, TaskStatus
from integration.bench.fresh_process import in_fresh_process, pss_bytes
from integration.bench.rows import Row, row
from manager.raft.log import REQUEST_ID_BYTES, REQUESTS_REMEMBERED
from manager.store.changes import Create, Entry, StoredObject
from manager.store.replica import Replica
from manager.store.store import MAX_CHANGES_PER_ENTRY

TASKS = 100_000
TASKS_PER_SERVICE = 100
NODES = 1000
SAMPLES = 3
TICK_SECONDS = 0.001
BEGUN_AT = 1_700_000_000.0
MIB = 1 << 20
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one run took."""

    copy_seconds: float
    """The part in the event loop: copies of the tables."""
    pack_seconds: float
    pack_wait_seconds: float
    """The longest wait of the event loop while parts were packed."""
    size_bytes: int
    unpack_seconds: float
    unpack_wait_seconds: float
    swap_seconds: float
    memory_bytes: int
    """What the state takes that was made by applying entries."""


def measure() -> Iterator[Row]:
    """Every row."""
    samples = [in_fresh_process(take_and_restore, TASKS) for _ in range(SAMPLES)]
    figures: dict[str, tuple[str, Callable[[Sample], float]]] = {
        "": ("ms", lambda one: (one.copy_seconds + one.pack_seconds) * 1000),
        " copy in the event loop": ("ms", lambda one: one.copy_seconds * 1000),
        " longest wait of the event loop": ("ms", lambda one: one.pack_wait_seconds * 1000),
        " size": ("MiB", lambda one: one.size_bytes / MIB),
        " restore": ("ms", lambda one: (one.unpack_seconds + one.swap_seconds) * 1000),
        " restore longest wait of the event loop": (
            "ms",
            lambda one: max(one.unpack_wait_seconds, one.swap_seconds) * 1000,
        ),
    }
    for word, (unit, figure) in figures.items():
        yield row(
            "raft", f"snapshot of {TASKS} tasks{word}", unit, [figure(one) for one in samples]
        )
    memory = [one.memory_bytes / MIB for one in samples]
    yield row("raft", f"memory of {TASKS} stored tasks", "MiB", memory)


def take_and_restore(tasks: int) -> Sample:
    """Takes a snapshot of that many running tasks and restores it, once, in this process."""
    return asyncio.run(_take_and_restore(tasks))


async def _take_and_restore(tasks: int) -> Sample:
    walk_old_objects_rarely()  # as swarmd does when it starts
    gc.collect()
    before = pss_bytes()
    replica = running_replica(tasks)
    gc.collect()
    memory = pss_bytes() - before
    begun = time.perf_counter()
    taken = replica.snapshot()
    copied = time.perf_counter() - begun
    pack_seconds, pack_wait, parts = await _beside_ticks(lambda: asyncio.to_thread(list, taken))
    other = Replica()
    unpack_seconds, unpack_wait, become = await _beside_ticks(
        lambda: asyncio.to_thread(other.restore, parts)
    )
    begun = time.perf_counter()
    become()
    swapped = time.perf_counter() - begun
    if len(other.state.tasks) != tasks or [*other.snapshot()] != parts:
        raise AssertionError("what was restored is not what was saved")
    return Sample(
        copy_seconds=copied,
        pack_seconds=pack_seconds,
        pack_wait_seconds=pack_wait,
        size_bytes=sum(map(len, parts)),
        unpack_seconds=unpack_seconds,
        unpack_wait_seconds=unpack_wait,
        swap_seconds=swapped,
        memory_bytes=memory,
    )


async def _beside_ticks(work: Callable[[], Awaitable[T]]) -> tuple[float, float, T]:
    waits = [0.0]
    async with asyncio.TaskGroup() as group:
        ticking = group.create_task(_tick(waits))
        await asyncio.sleep(TICK_SECONDS)
        begun = time.perf_counter()
        result = await work()
        seconds = time.perf_counter() - begun
        ticking.cancel()
    return seconds, max(waits), result


async def _tick(waits: list[float]) -> None:
    while True:
        begun = time.perf_counter()
        await asyncio.sleep(TICK_SECONDS)
        waits.append(time.perf_counter() - begun - TICK_SECONDS)


# --------------------------------------------------------------------------------------- the state


def running_replica(tasks: int, *, requests: int = REQUESTS_REMEMBERED) -> Replica:
    """A replica with that many running tasks, each with a container, and as many requests remembered as it may."""
    replica = Replica()
    batch: list[StoredObject] = []
    index = 0

    def apply() -> None:
        nonlocal index
        index += 1
        entry = Entry(at=BEGUN_AT, changes=tuple(Create(object=item) for item in batch))
        replica.apply(index, index.to_bytes(REQUEST_ID_BYTES, "big"), encode(entry))
        batch.clear()

    for item in _objects(tasks):
        batch.append(item)
        if len(batch) == MAX_CHANGES_PER_ENTRY:
            apply()
    apply()
    for _ in range(requests):
        apply()
    return replica


def _objects(tasks: int) -> Iterator[StoredObject]:
    chance = random.Random(1)
    new_id, new_container_id = id_source(chance), container_id_source(chance)
    nodes = [Node(id=new_id()) for _ in range(NODES)]
    yield from nodes
    for service in range(-(-tasks // TASKS_PER_SERVICE)):
        spec = TaskSpec(container_spec=ContainerSpec(image=f"registry.example.com/app:{service}"))
        service_id, name = new_id(), f"service-{service}"
        mode = Replicated(replicas=TASKS_PER_SERVICE)
        yield Service(id=service_id, spec=ServiceSpec(name=name, task_template=spec, mode=mode))
        first = service * TASKS_PER_SERVICE
        for number in range(first, min(first + TASKS_PER_SERVICE, tasks)):
            at = BEGUN_AT + number
            container = ContainerStatus(container_id=new_container_id(), pid=number)
            yield Task(
                id=new_id(),
                service_id=service_id,
                service_name=name,
                slot=number - first + 1,
                spec=spec,
                spec_version=1,
                node_id=nodes[number % NODES].id,
                status=TaskStatus(
                    state=TaskState.RUNNING,
                    timestamp=at,
                    applied_at=at,
                    message="started",
                    container_status=container,
                ),
                running_at=at,
            )
