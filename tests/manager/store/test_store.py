import asyncio
import random

import pytest

from common.clock import SystemClock
from common.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    StaleVersionError,
    TooLargeError,
)
from common.model.cluster import Cluster
from common.model.node import Node, NodeDescription
from common.model.service import Service, ServiceSpec
from common.model.task import Task, TaskState
from manager.store.changes import AllocateTask, AssignTask, Create, Delete, SetDesiredState
from manager.store.store import MAX_CHANGES_PER_ENTRY, Store, memory_store
from manager.store.watch import WATCH_BACKLOG_MAX, Changed, WatchLaggedError


@pytest.fixture
def store() -> Store:
    return memory_store(SystemClock(), random.Random(1))


def service(name: str, service_id: str = "") -> Create:
    return Create(object=Service(id=service_id or f"id-{name}", spec=ServiceSpec(name=name)))


async def test_a_proposal_is_applied_when_it_returns(store: Store) -> None:
    index = await store.propose([service("web")])
    web = store.state.service_named("web")
    assert web is not None
    assert (web.version, web.spec_version, store.state.index) == (index, index, index)


async def test_nothing_to_do_is_no_entry(store: Store) -> None:
    assert await store.propose([]) == 0


async def test_a_refused_proposal_changes_nothing(store: Store) -> None:
    await store.propose([service("web")])
    with pytest.raises(ConflictError) as refused:
        await store.propose([service("db"), service("WEB", "other")])
    assert (
        refused.value.message
        == "name conflicts with an existing object: service WEB already exists"
    )
    assert list(store.state.services) == ["id-web"]


async def test_too_many_changes_are_refused(store: Store) -> None:
    change = SetDesiredState(task_id="t", state=TaskState.READY)
    with pytest.raises(TooLargeError):
        await store.propose([change] * (MAX_CHANGES_PER_ENTRY + 1))


async def test_a_task_from_new_to_assigned(store: Store) -> None:
    created = await store.propose([Create(object=Node(id="n")), Create(object=Task(id="t"))])
    pending = await store.propose([AllocateTask(task_id="t", basis=created)])
    with pytest.raises(StaleVersionError):
        await store.propose([AssignTask(task_id="t", basis=created, node_id="n")])
    await store.propose([AssignTask(task_id="t", basis=pending, node_id="n")])
    assert [task.id for task in store.state.tasks_of_node("n")] == ["t"]


async def test_a_watch_gets_what_is_committed_while_it_is_open(store: Store) -> None:
    await store.propose([service("early")])
    async with store.watch() as watch:
        index = await store.propose([service("web")])
        committed = await anext(watch)
    assert (committed.index, committed.changed) == (
        index,
        (Changed(None, store.state.service_named("web")),),
    )


async def test_a_watch_is_an_iterator(store: Store) -> None:
    indexes = []
    async with store.watch() as watch:
        await store.propose([service("a")])
        await store.propose([service("b")])
        async for committed in watch:
            indexes.append(committed.index)
            if len(indexes) == 2:
                break
    await store.propose([service("c")])
    assert indexes == [1, 2]


async def test_there_is_one_cluster(store: Store) -> None:
    assert store.state.cluster() is None
    await store.propose([Create(object=Cluster(id="c"))])
    assert store.state.cluster() == store.state.clusters["c"]


async def test_a_waiting_watch_is_woken(store: Store) -> None:
    async def first() -> int:
        async with store.watch() as watch:
            return (await anext(watch)).index

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(first())
        await asyncio.sleep(0)
        index = await store.propose([service("web")])
    assert waiting.result() == index


async def test_a_watch_takes_all_that_waits(store: Store) -> None:
    async with store.watch() as watch:
        await store.propose([service("a")])
        await store.propose([service("b")])
        assert [committed.index for committed in await watch.take()] == [1, 2]


async def test_a_lagging_watch_is_told_once_and_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("manager.store.watch.WATCH_BACKLOG_MAX", 1)
    async with store.watch() as watch:
        for name in ("a", "b", "c"):
            await store.propose([service(name)])
        with pytest.raises(WatchLaggedError):
            await anext(watch)
        last = await store.propose([service("d")])
        assert (await anext(watch)).index == last
    assert WATCH_BACKLOG_MAX == 100_000


FOUND = {
    "by its id": ("abc1", "abc1"),
    "by its name": ("web", "abc1"),
    "by a unique beginning of its id": ("abc2", "abc22"),
    "an id before a name": ("xyz", "xyz"),
}


@pytest.mark.parametrize(("reference", "expected"), FOUND.values(), ids=FOUND)
async def test_finds_a_service(store: Store, reference: str, expected: str) -> None:
    await store.propose([service("web", "abc1"), service("xyz", "abc22"), service("other", "xyz")])
    assert store.state.find_service(reference).id == expected


async def test_says_what_is_not_found_or_ambiguous(store: Store) -> None:
    await store.propose([service("web", "abc1"), service("db", "abc2")])
    with pytest.raises(NotFoundError, match=r"^service Web not found$"):
        store.state.find_service("Web")
    with pytest.raises(InvalidInputError, match=r"^service abc is ambiguous \(2 matches found\)$"):
        store.state.find_service("abc")
    with pytest.raises(NotFoundError):
        store.state.find_service("")


async def test_finds_a_node_by_hostname_and_a_task_by_name(store: Store) -> None:
    node = Node(id="n1", description=NodeDescription(hostname="alpha"))
    task = Task(id="t1", service_id="s", service_name="web", slot=2)
    await store.propose([Create(object=node), Create(object=task)])
    assert store.state.find_node("alpha").id == "n1"
    assert store.state.find_task("web.2.t1").id == "t1"
    with pytest.raises(NotFoundError, match=r"^task db.2.t1 not found$"):
        store.state.find_task("db.2.t1")


async def test_a_deleted_name_is_free_again(store: Store) -> None:
    await store.propose([service("web")])
    await store.propose([Delete(table="service", id="id-web"), service("web", "new")])
    assert [found.id for found in store.state.services.values()] == ["new"]
    assert store.state.find_service("web").id == "new"
