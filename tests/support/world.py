"""A manager's loops over a store in memory, with agents that only pretend, in virtual time."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

from common.errors import StaleVersionError
from common.ids import id_source
from common.model.cluster import Cluster
from common.model.node import Availability, Node, NodeState
from common.model.service import Service
from common.model.task import Task, TaskState, TaskStatus
from manager.control.loop import run_loop
from manager.control.registry import run_loops
from manager.store.changes import Create, Delete, ObserveTask, Update
from manager.store.state import State
from manager.store.store import Store, memory_store
from manager.store.verdict import NewId, Verdict
from manager.store.watch import Changed
from tests.support.builders import node
from tests.support.fake_clock import FakeClock

S = TaskState
TRIES_MAX = 5
_WALK = (S.ASSIGNED, S.ACCEPTED, S.PREPARING, S.READY, S.STARTING, S.RUNNING)


class World:
    """The store, its clock, the loops of a leader, and the nodes that answer."""

    def __init__(self, store: Store, clock: FakeClock, chance: random.Random) -> None:
        self.store, self.clock, self.chance = store, clock, chance
        self._loops: asyncio.Task[None] | None = None

    async def lead(self) -> None:
        """Runs the loops, instead of those that ran before: a change of leader."""
        await self.abdicate()
        self._loops = asyncio.get_running_loop().create_task(self._run_loops())

    async def abdicate(self) -> None:
        """Ends the loops, as the loss of leadership does."""
        if self._loops is not None:
            self._loops.cancel()
            with suppress(asyncio.CancelledError):
                await self._loops

    async def _run_loops(self) -> None:
        await run_loops(self.store, self.clock, self.chance)

    @property
    def state(self) -> State:
        return self.store.state

    async def change_spec(self, name: str, **fields: Any) -> Service:
        """A user's update, as the API writes it; tried again when a loop wrote meanwhile."""
        for _ in range(TRIES_MAX):
            old = self.state.services[name]
            new = replace(
                old,
                spec=replace(old.spec, **fields),
                previous_spec=old.spec,
                previous_spec_version=old.spec_version,
                update_status=None,
            )
            with suppress(StaleVersionError):
                await self.store.propose([Update(object=new)])
                return new
        raise AssertionError(f"{name} is never at rest")

    async def add_node(self, name: str) -> None:
        await self.store.propose([Create(object=node(name))])

    async def change_node(
        self,
        name: str,
        *,
        state: NodeState | None = None,
        availability: Availability | None = None,
        labels: dict[str, str] | None = None,
    ) -> None:
        old = self.state.nodes[name]
        status = old.status if state is None else replace(old.status, state=state)
        spec = old.spec if availability is None else replace(old.spec, availability=availability)
        spec = spec if labels is None else replace(spec, labels=labels)
        await self.store.propose([Update(object=replace(old, status=status, spec=spec))])

    async def remove_node(self, name: str) -> None:
        orphans = [
            ObserveTask(task_id=t.id, node_id=name, status=TaskStatus(state=S.ORPHANED))
            for t in self.state.tasks_of_node(name)
        ]
        await self.store.propose([*orphans, Delete(table="node", id=name)])

    async def end(self, task: Task, state: TaskState) -> None:
        """Lets a task come to an end of its own."""
        status = TaskStatus(state=state, timestamp=self.clock.now())
        await self.store.propose(
            [ObserveTask(task_id=task.id, node_id=task.node_id, status=status)]
        )


@asynccontextmanager
async def world(
    *, seed: int = 0, nodes: Iterable[str] = (), behaviour: "Behaviour | None" = None
) -> AsyncIterator[World]:
    """Runs all loops of a leader, and agents on every node that is ready."""
    chance = random.Random(seed)
    clock = FakeClock()
    store = memory_store(clock, chance)
    made = World(store, clock, chance)
    await store.propose([Create(object=Cluster(id="cluster"))])
    async with asyncio.TaskGroup() as group:
        agents = Agents(behaviour or steady)
        pretending = group.create_task(run_loop(agents, store, clock, id_source(chance)))
        watching = group.create_task(watch_for_steps_back(store))
        await made.lead()
        for name in nodes:
            await made.add_node(name)
        await clock.advance(0)
        yield made
        await made.abdicate()
        pretending.cancel()
        watching.cancel()


async def watch_for_steps_back(store: Store) -> None:
    """Fails as soon as a task goes back in state, or moves to another node."""
    async with store.watch() as watch:
        async for committed in watch:
            for change in committed.changed:
                match change.old, change.new:
                    case Task() as old, Task() as new:
                        assert new.status.state >= old.status.state
                        assert new.desired_state >= old.desired_state
                        assert old.node_id in ("", new.node_id)
                    case _:
                        pass


Behaviour = Callable[[Task, float], tuple[TaskState | None, float | None]]
"""What an agent sees of a task next, and when to look again; it is asked only while its node is ready."""


def steady(task: Task, now: float) -> tuple[TaskState | None, float | None]:
    """What the image says: ``missing`` is no image, ``crash:N`` fails after N seconds, ``exit:N`` completes,
    ``slow:N`` stops N seconds after it is told, ``hang`` never gets ready; all else runs.
    """
    image = task.spec.container_spec.image if task.spec.container_spec else ""
    word, _, number = image.partition(":")
    state = task.status.state
    if task.desired_state >= S.SHUTDOWN:
        until = task.updated_at + float(number) if word == "slow" else now
        return (S.SHUTDOWN, None) if until <= now else (None, until)
    if state == S.RUNNING:
        ends = {"crash": S.FAILED, "exit": S.COMPLETE}.get(word)
        until = task.running_at + float(number) if ends else now
        return (ends, None) if until <= now else (None, until)
    if state == S.PREPARING and word in ("missing", "hang"):
        return (S.REJECTED if word == "missing" else None), None
    if state == S.READY and task.desired_state < S.RUNNING:
        return None, None
    return _WALK[_WALK.index(state) + 1], now


class Agents:
    """The agents of all nodes, as a loop over tasks."""

    name = "pretended agents"
    settle_seconds = 0.0

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour

    def keys(self, state: State) -> Iterable[str]:
        return list(state.tasks)

    def touched(self, state: State, changed: Changed) -> Iterable[str]:
        match changed.new:
            case Task(id=task_id):
                return (task_id,)
            case Node(id=node_id):
                return [task.id for task in state.tasks_of_node(node_id)]
            case _:
                return ()

    def consider(self, state: State, key: str, now: float, new_id: NewId) -> Verdict:
        task = state.tasks.get(key)
        if task is None or not S.ASSIGNED <= task.status.state <= S.RUNNING:
            return Verdict()
        own = state.nodes.get(task.node_id)
        if own is None or own.status.state != NodeState.READY:
            return Verdict()
        seen, again = self._behaviour(task, now)
        if seen is None:
            return Verdict(look_again_at=again)
        message = "No such image: missing" if seen == S.REJECTED else ""
        status = TaskStatus(state=seen, timestamp=now, err=message)
        return Verdict(changes=(ObserveTask(task_id=key, node_id=own.id, status=status),))
