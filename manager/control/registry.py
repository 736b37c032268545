"""The loops that a leader runs."""

import asyncio
import random  # noqa: TID251 - only named as a type
from typing import Never

from common.clock import Clock
from common.ids import id_source
from manager.allocator.loop import AllocatorLoop
from manager.control.loop import run_loop
from manager.orchestrator.loops import (
    ConstraintLoop,
    GlobalLoop,
    HistoryLoop,
    LeaseLoop,
    RemovedServicesLoop,
    ReplicatedLoop,
)
from manager.scheduler.loop import run_scheduler
from manager.store.store import Store


async def run_loops(store: Store, clock: Clock, chance: random.Random) -> Never:
    """Runs every loop as long as this manager leads; they meet only in the store."""
    new_id = id_source(chance)
    async with asyncio.TaskGroup() as group:
        group.create_task(run_loop(AllocatorLoop(), store, clock, new_id))
        group.create_task(run_loop(ReplicatedLoop(), store, clock, new_id))
        group.create_task(run_loop(GlobalLoop(), store, clock, new_id))
        group.create_task(run_scheduler(store, clock))
        group.create_task(run_loop(RemovedServicesLoop(), store, clock, new_id))
        group.create_task(run_loop(ConstraintLoop(), store, clock, new_id))
        group.create_task(run_loop(LeaseLoop(clock), store, clock, new_id))
        group.create_task(run_loop(HistoryLoop(), store, clock, new_id))
    raise AssertionError("loops run until they are cancelled")
