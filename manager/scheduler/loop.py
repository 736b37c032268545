"""The scheduler as a leader runs it: look, decide, propose; what was refused is looked at again."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Never

from common.apart import apart
from common.clock import Clock
from common.errors import ConflictError, NotFoundError, UnavailableError
from common.model.node import Node
from common.model.task import Task
from manager.scheduler.scheduler import Decision, Scheduler
from manager.store.changes import ExplainTask
from manager.store.state import State
from manager.store.store import MAX_CHANGES_PER_ENTRY, Store
from manager.store.watch import Committed, Watch

SLICE_SECONDS = 0.01
"""How long the scheduler works before the event loop's other tasks get their turn. One that waits for a timer gets its
own only after three slices: when the timer is found due, when its future is set, when it wakes."""
SLICE_DECISIONS = 400
"""Decisions proposed together."""
LOOKED_AT_ONCE = 200
"""Objects taken in between two looks at the clock, at the start."""
RETRY_SECONDS = 0.5
"""Pause after the store could not answer."""

log = logging.getLogger(__name__)


async def run_scheduler(store: Store, clock: Clock) -> Never:
    """Places tasks as long as this manager leads."""
    while True:
        try:
            await apart(_follow(store, clock))
        except* UnavailableError as errors:
            log.warning("the scheduler starts over: %s", errors.exceptions[0])
        await clock.sleep(RETRY_SECONDS)


async def _follow(store: Store, clock: Clock) -> Never:
    """Keeps one scheduler up to date from a first look at everything, until the watch or the store breaks."""
    scheduler, turn = Scheduler(), _Turn(clock)
    async with store.watch() as watch:
        seen = await _look_at_everything(scheduler, store.state, turn)
        while True:
            for committed in await _news(watch, scheduler, clock):
                if committed.index > seen:
                    for changed in committed.changed:
                        scheduler.see(changed.old, changed.new)
                await turn.breathe()
            await _propose_decisions(store, scheduler, _decisions(scheduler, clock, turn))
            await _propose_explanations(store, scheduler.next_explanations(clock.now()))
            await turn.breathe()


class _Turn:
    """Gives the event loop to others once ``SLICE_SECONDS`` are over."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ends = clock.monotonic() + SLICE_SECONDS

    @property
    def is_over(self) -> bool:
        return self._clock.monotonic() >= self._ends

    async def breathe(self) -> None:
        if self.is_over:
            await asyncio.sleep(0)
            self._ends = self._clock.monotonic() + SLICE_SECONDS


async def _look_at_everything(scheduler: Scheduler, state: State, turn: _Turn) -> int:
    """Takes in all nodes, then all tasks; what is committed meanwhile waits in the watch."""
    index = state.index
    objects: list[Node | Task] = [*state.nodes.values(), *state.tasks.values()]
    for start in range(0, len(objects), LOOKED_AT_ONCE):
        for item in objects[start : start + LOOKED_AT_ONCE]:
            scheduler.see(None, item)
        await turn.breathe()
    return index


async def _news(watch: Watch, scheduler: Scheduler, clock: Clock) -> Sequence[Committed]:
    """What was committed since; waits for it, or until explanations are old, when there is nothing to do."""
    if scheduler.has_work:
        return watch.waiting()
    look_again_at = scheduler.look_again_at()
    if look_again_at is None:
        return await watch.take()
    async with asyncio.TaskGroup() as group:
        taking = group.create_task(watch.take())
        sleeping = group.create_task(clock.sleep(look_again_at - clock.now()))
        await asyncio.wait((taking, sleeping), return_when=asyncio.FIRST_COMPLETED)
        taking.cancel()
        sleeping.cancel()
    return [] if taking.cancelled() else taking.result()


def _decisions(scheduler: Scheduler, clock: Clock, turn: _Turn) -> list[Decision]:
    """As many decisions as fit into this turn."""
    made: list[Decision] = []
    while len(made) < SLICE_DECISIONS:
        made.extend(scheduler.next_decisions(clock.now()))
        if turn.is_over or not scheduler.is_deciding:
            break
    return made


async def _propose_decisions(
    store: Store, scheduler: Scheduler, decisions: Sequence[Decision]
) -> None:
    """Proposes entries side by side; an entry that is refused is taken back whole."""

    async def propose(entry: Sequence[Decision]) -> None:
        try:
            await store.propose([decision.change for decision in entry])
        except (ConflictError, NotFoundError) as refusal:
            log.debug("%d assignments are decided again: %s", len(entry), refusal)
            for decision in entry:
                scheduler.refused(decision, store.state.tasks.get(decision.task.id))

    async with asyncio.TaskGroup() as group:
        for start in range(0, len(decisions), MAX_CHANGES_PER_ENTRY):
            group.create_task(propose(decisions[start : start + MAX_CHANGES_PER_ENTRY]))


async def _propose_explanations(store: Store, changes: Sequence[ExplainTask]) -> None:
    """Proposes explanations of tasks that are still as they were; a refusal leaves them to the next refresh."""
    tasks = store.state.tasks
    current = [
        change
        for change in changes
        if (task := tasks.get(change.task_id)) is not None and task.version == change.basis
    ]
    try:
        await store.propose(current)
    except (ConflictError, NotFoundError) as refusal:
        log.debug("%d tasks are explained later: %s", len(current), refusal)
