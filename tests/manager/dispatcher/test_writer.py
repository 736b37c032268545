import asyncio
import random
from collections.abc import Sequence

import pytest

from common.errors import NotLeaderError, StaleVersionError, TooLargeError
from common.model.node import Node, NodeState
from manager.dispatcher.reports import node_state
from manager.dispatcher.writer import ATTEMPTS_MAX, Wish, Writer
from manager.store.changes import Change, Create, Delete
from manager.store.store import MAX_CHANGES_PER_ENTRY, Store, memory_store
from tests.support.fake_clock import FakeClock, settle


class Refusing:
    """A store that counts proposals, and refuses what a test says."""

    def __init__(self, store: Store) -> None:
        self.real = store
        self.state = store.state
        self.sizes: list[int] = []
        self.refusals: list[Exception] = []
        self.largest = MAX_CHANGES_PER_ENTRY

    async def propose(self, changes: Sequence[Change]) -> int:
        self.sizes.append(len(changes))
        if self.refusals:
            raise self.refusals.pop(0)
        if len(changes) > self.largest:
            raise TooLargeError("too large")
        return await self.real.propose(changes)


@pytest.fixture
def store() -> Refusing:
    return Refusing(memory_store(FakeClock(), random.Random(1)))


def ready(number: int) -> Wish:
    return node_state(f"n{number}", NodeState.READY)


async def nodes(store: Refusing, count: int) -> None:
    for first in range(0, count, MAX_CHANGES_PER_ENTRY):
        last = min(first + MAX_CHANGES_PER_ENTRY, count)
        await store.real.propose([Create(object=Node(id=f"n{n}")) for n in range(first, last)])


async def test_what_many_want_written_is_written_together(store: Refusing) -> None:
    await nodes(store, 500)
    writer = Writer(store)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(writer.run())
        await settle()
        async with asyncio.TaskGroup() as writes:
            for number in range(500):
                writes.create_task(writer.write([ready(number)]))
        assert store.sizes == [MAX_CHANGES_PER_ENTRY, MAX_CHANGES_PER_ENTRY, 100]
        assert all(node.status.state is NodeState.READY for node in store.state.nodes.values())
        running.cancel()


async def test_wishes_for_the_same_object_are_written_one_after_the_other(store: Refusing) -> None:
    await nodes(store, 1)
    writer = Writer(store)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(writer.run())
        await settle()
        await writer.write([node_state("n0", NodeState.DOWN), node_state("n0", NodeState.READY)])
        assert (store.sizes, store.state.nodes["n0"].status.state) == ([1, 1], NodeState.READY)
        running.cancel()


async def test_a_stale_batch_is_decided_again(store: Refusing) -> None:
    await nodes(store, 1)
    store.refusals = [StaleVersionError("update out of sequence")] * (ATTEMPTS_MAX - 1)
    writer = Writer(store)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(writer.run())
        await settle()
        await writer.write([ready(0)])
        assert store.state.nodes["n0"].status.state is NodeState.READY
        running.cancel()


async def test_an_object_that_is_gone_is_nothing_to_write(store: Refusing) -> None:
    await nodes(store, 1)
    await store.real.propose([Delete(table="node", id="n0")])
    writer = Writer(store)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(writer.run())
        await settle()
        await writer.write([ready(0)])
        assert store.state.nodes == {}
        running.cancel()


async def test_a_batch_too_large_is_halved(store: Refusing) -> None:
    await nodes(store, 8)
    store.largest = 3
    writer = Writer(store)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(writer.run())
        await settle()
        await writer.write([ready(number) for number in range(8)])
        assert store.sizes == [8, 4, 2, 2, 4, 2, 2]
        running.cancel()


async def test_who_waits_learns_when_leadership_ends(store: Refusing) -> None:
    await nodes(store, 2)
    writer = Writer(store)
    with pytest.raises(NotLeaderError):
        await writer.write([ready(0)])

    async def fails() -> None:
        with pytest.raises(NotLeaderError):
            await writer.write([ready(1)])

    async with asyncio.TaskGroup() as group:
        running = group.create_task(writer.run())
        await asyncio.sleep(0)
        group.create_task(fails())
        await asyncio.sleep(0)
        running.cancel()
    with pytest.raises(NotLeaderError):
        await writer.write([ready(0)])
