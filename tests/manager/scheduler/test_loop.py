"""The scheduler on a store: what it proposes, when it tries again, what it says meanwhile."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from typing_extensions import override

from common.model.node import Availability, Node, NodeSpec
from common.model.task import Task, TaskState
from manager.scheduler.loop import run_scheduler
from manager.scheduler.scheduler import REFRESH_SECONDS
from manager.store.changes import (
    AssignTask,
    Change,
    Create,
    Delete,
    SetDesiredState,
    Update,
)
from manager.store.store import Store, memory_store
from tests.support.fake_clock import FakeClock, settle
from tests.support.placing import named, node, spec, task, tasks, units


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(clock: FakeClock) -> Store:
    return memory_store(clock, random.Random(1))


@asynccontextmanager
async def scheduling(store: Store, clock: FakeClock) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        running = group.create_task(run_scheduler(store, clock))
        await settle()
        yield
        running.cancel()


async def have(store: Store, objects: Sequence[Node | Task]) -> None:
    await store.propose([Create(object=one) for one in objects])
    await settle()


def where(store: Store) -> dict[str, int]:
    return dict(Counter(one.node_id for one in store.state.tasks.values()))


def errors(store: Store) -> dict[str, str]:
    return {one.id: one.status.err for one in store.state.tasks.values() if one.status.err}


async def test_places_what_waits_at_the_start(store: Store, clock: FakeClock) -> None:
    await have(store, [node("a"), node("b"), *tasks(4)])
    async with scheduling(store, clock):
        await settle()
        assert where(store) == {"a": 2, "b": 2}
        states = {one.status.state for one in store.state.tasks.values()}
        assert states == {TaskState.ASSIGNED}


async def test_places_what_comes(store: Store, clock: FakeClock) -> None:
    async with scheduling(store, clock):
        await have(store, [node("a"), node("b")])
        await have(store, tasks(2))
        await have(store, tasks(2, "db"))
        assert where(store) == {"a": 2, "b": 2}


async def test_leaves_alone_what_is_not_to_run(store: Store, clock: FakeClock) -> None:
    idle = [
        task("new", state=TaskState.NEW),
        task("unwanted", desired=TaskState.SHUTDOWN),
        task("removed", desired=TaskState.REMOVE),
    ]
    await have(store, [node("a"), *idle])
    async with scheduling(store, clock):
        await settle()
        assert where(store) == {"": 3}
        assert errors(store) == {}


async def test_says_why_and_tries_again_when_a_node_comes(store: Store, clock: FakeClock) -> None:
    await have(store, [node("a", cpus=1), *tasks(2, of=spec(cpus=1))])
    async with scheduling(store, clock):
        await settle()
        assert errors(store) == {"web-1": "no suitable node (insufficient resources on 1 node)"}
        await have(store, [node("b", cpus=1)])
        assert where(store) == {"a": 1, "b": 1}
        assert errors(store) == {}


async def test_tries_again_when_a_task_is_gone(store: Store, clock: FakeClock) -> None:
    await have(store, [node("a", cpus=1), *tasks(2, of=spec(cpus=1))])
    async with scheduling(store, clock):
        await settle()
        await store.propose([Delete(table="task", id="web-0")])
        await settle()
        assert where(store) == {"a": 1}


async def test_tries_again_when_a_node_opens(store: Store, clock: FakeClock) -> None:
    closed = node("a", availability=Availability.DRAIN)
    await have(store, [closed, task("t")])
    async with scheduling(store, clock):
        await settle()
        assert errors(store) == {"t": "no suitable node (1 node not available for new tasks)"}
        stored = store.state.nodes["a"]
        await store.propose([Update(object=replace(stored, spec=NodeSpec()))])
        await settle()
        assert where(store) == {"a": 1}


async def test_says_it_once_and_again_only_when_it_changes(store: Store, clock: FakeClock) -> None:
    await have(store, [node("a", cpus=1), task("t", of=spec(cpus=2))])
    async with scheduling(store, clock):
        await settle()
        said = store.state.index
        await clock.advance(3 * REFRESH_SECONDS)
        assert said == store.state.index
        await have(store, [node("b", cpus=1)])
        await clock.advance(REFRESH_SECONDS)
        assert errors(store) == {"t": "no suitable node (insufficient resources on 2 nodes)"}


async def test_confirms_tasks_of_global_services_on_their_nodes(
    store: Store, clock: FakeClock
) -> None:
    small = spec(cpus=1)
    await have(
        store,
        [
            node("a", cpus=1),
            node("b", cpus=0.5),
            task("on-a", of=small, on="a", state=TaskState.PENDING),
            task("on-b", of=small, on="b", state=TaskState.PENDING),
        ],
    )
    async with scheduling(store, clock):
        await settle()
        found = {one.id: one.status.state for one in store.state.tasks.values()}
        assert found == {"on-a": TaskState.ASSIGNED, "on-b": TaskState.PENDING}
        assert errors(store) == {"on-b": "insufficient resources on 1 node"}
        await store.propose(
            [Update(object=replace(node("b", cpus=2), version=store.state.nodes["b"].version))]
        )
        await settle()
        assert store.state.tasks["on-b"].status.state is TaskState.ASSIGNED


async def test_a_task_withdrawn_while_it_waits_is_forgotten(store: Store, clock: FakeClock) -> None:
    await have(store, [task("t")])
    async with scheduling(store, clock):
        await settle()
        await store.propose([SetDesiredState(task_id="t", state=TaskState.SHUTDOWN)])
        await have(store, [node("a")])
        assert where(store) == {"": 1}


class Racing(Store):
    """A store on which somebody else always comes first, once."""

    crossing: Sequence[Change] = ()

    @override
    async def propose(self, changes: Sequence[Change]) -> int:
        if self.crossing and any(isinstance(change, AssignTask) for change in changes):
            crossing, self.crossing = self.crossing, ()
            await super().propose(crossing)
        return await super().propose(changes)


async def test_an_entry_that_is_refused_is_decided_again(clock: FakeClock) -> None:
    racing = memory_store(clock, random.Random(1))
    racing.__class__ = Racing
    assert isinstance(racing, Racing)
    await have(racing, [node("a", cpus=1), node("b", cpus=2), *tasks(3, of=spec(cpus=1))])
    racing.crossing = [SetDesiredState(task_id="web-0", state=TaskState.REMOVE)]
    async with scheduling(racing, clock):
        await settle()
        assert {one.id: one.node_id for one in racing.state.tasks.values()}["web-0"] == ""
        assert where(racing) == {"": 1, "a": 1, "b": 1}
        await have(racing, [task("last", of=spec(cpus=1))])
        assert where(racing) == {"": 1, "a": 1, "b": 2}, "nothing is left counted of the refused"


async def test_a_node_removed_meanwhile_is_decided_again(clock: FakeClock) -> None:
    racing = memory_store(clock, random.Random(1))
    racing.__class__ = Racing
    assert isinstance(racing, Racing)
    await have(racing, [node("a"), task("t")])
    racing.crossing = [Delete(table="node", id="a")]
    async with scheduling(racing, clock):
        await settle()
        assert errors(racing) == {"t": "no suitable node"}
        await have(racing, [node("b")])
        assert where(racing) == {"b": 1}


async def test_more_than_an_entry_holds(store: Store, clock: FakeClock) -> None:
    many = tasks(1_450, of=spec(max_replicas=100))
    await have(store, [node(f"n{number}") for number in range(15)])
    for start in range(0, len(many), 200):
        await store.propose([Create(object=one) for one in many[start : start + 200]])
    async with scheduling(store, clock):
        await settle(200)
        assert where(store).keys() == {f"n{number}" for number in range(15)}
        assert max(where(store).values()) <= 100


async def test_gives_named_resources_in_the_assignment(store: Store, clock: FakeClock) -> None:
    gpus = [named("gpu", "u1"), named("gpu", "u2")]
    await have(store, [node("a", generic=gpus), *tasks(3, of=spec(generic=[units("gpu", 1)]))])
    async with scheduling(store, clock):
        await settle()
        given_away = [one.generic_resources for one in store.state.tasks.values()]
        assert given_away == [(gpus[0],), (gpus[1],), ()]
