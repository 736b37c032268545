import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest

from common.errors import NotLeaderError, UnavailableError
from common.model.node import Node
from common.model.task import Task, TaskState, TaskStatus
from common.protocol.messages import LogLine, LogRequest
from manager.logs.broker import BATCHES_MAX, INCOMPLETE, LogBroker
from manager.store.changes import Create, Update
from manager.store.store import Store, memory_store
from tests.support.fake_clock import FakeClock, settle
from tests.support.log_lines import copy


@dataclass(frozen=True, kw_only=True)
class Selection:
    follow: bool = False
    stdout: bool = True
    stderr: bool = True
    since: float = 0.0
    until: float = 0.0
    tail: int = -1


@dataclass
class FakeSources:
    batches: dict[str, list[tuple[LogLine, ...]]] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    requests: list[tuple[str, LogRequest]] = field(default_factory=list)
    given: int = 0
    open: int = 0
    endless: asyncio.Event | None = None

    async def read_logs(
        self, node_id: str, request: LogRequest
    ) -> AsyncGenerator[tuple[LogLine, ...], None]:
        if node_id in self.missing:
            raise UnavailableError(f"node {node_id} is not available")
        if node_id in self.lost:
            raise NotLeaderError("another manager leads")
        self.requests.append((node_id, request))
        self.open += 1
        try:
            for lines in self.batches.get(node_id, []):
                self.given += 1
                yield lines
            if self.endless is not None:
                await self.endless.wait()
        finally:
            self.open -= 1


def line(task_id: str, text: str) -> LogLine:
    return LogLine(task_id=task_id, stream="stdout", at=1.0, data=text.encode())


@pytest.fixture
async def store() -> Store:
    store = memory_store(FakeClock(), random.Random(1))
    running = TaskStatus(state=TaskState.RUNNING)
    await store.propose(
        [
            Create(object=Node(id="n1")),
            Create(object=Node(id="n2")),
            Create(object=Task(id="a", node_id="n1", status=running)),
            Create(object=Task(id="b", node_id="n1", status=running)),
            Create(object=Task(id="c", node_id="n2", status=running)),
            Create(object=Task(id="later", node_id="n2")),
        ]
    )
    return store


def broker(store: Store, sources: FakeSources) -> LogBroker:
    return LogBroker(store, sources, FakeClock(), random.Random(1))


async def test_each_node_is_asked_once_for_all_of_its_tasks(store: Store) -> None:
    sources = FakeSources({"n1": [(line("a", "1"), line("b", "2"))], "n2": [(line("c", "3"),)]})
    lines = broker(store, sources).read(["a", "b", "c", "later"], Selection(tail=7, since=3.0))
    assert {one.data async for one in lines} == {b"1", b"2", b"3"}
    asked = dict(sources.requests)
    assert {node_id: request.task_ids for node_id, request in asked.items()} == {
        "n1": ("a", "b"),
        "n2": ("c",),
    }
    assert (asked["n1"].tail, asked["n1"].since, asked["n1"].follow) == (7, 3.0, False)


async def test_a_node_that_is_missing_is_named_after_all_that_could_be_had(store: Store) -> None:
    sources = FakeSources({"n1": [(line("a", "1"),)]}, missing={"n2"})
    got: list[bytes] = []
    with pytest.raises(UnavailableError, match=f"{INCOMPLETE}: node n2 is not available"):
        await copy(broker(store, sources).read(["a", "c"], Selection()), got.append)
    assert got == [b"1"]


async def test_who_follows_is_told_of_a_missing_node_at_once(store: Store) -> None:
    sources = FakeSources(missing={"n2"}, endless=asyncio.Event())
    async with aclosing(broker(store, sources).read(["a", "c"], Selection(follow=True))) as lines:
        told = await anext(lines)
    assert (told.stream, told.task_id) == ("stderr", "c")
    assert told.data == f"{INCOMPLETE}: node n2 is not available\n".encode()
    assert sources.open == 0


async def test_a_change_of_the_leader_ends_all_reading_at_once(store: Store) -> None:
    sources = FakeSources({"n1": [(line("a", "1"),)]}, endless=asyncio.Event(), lost={"n2"})
    got: list[bytes] = []
    with pytest.raises(NotLeaderError):
        await copy(broker(store, sources).read(["a", "c"], Selection(follow=True)), got.append)
    assert got == [b"1"]
    assert sources.open == 0


async def test_a_slow_reader_holds_the_nodes_up(store: Store) -> None:
    sources = FakeSources({"n1": [(line("a", str(n)),) for n in range(100)]})
    async with aclosing(broker(store, sources).read(["a"], Selection())) as lines:
        assert (await anext(lines)).data == b"0"
        await settle()
        assert sources.given <= BATCHES_MAX + 2
        rest = [one.data async for one in lines]
    assert rest == [str(n).encode() for n in range(1, 100)]


async def test_closing_ends_the_reading_everywhere(store: Store) -> None:
    sources = FakeSources({"n1": [(line("a", "1"),)]}, endless=asyncio.Event())
    lines = broker(store, sources).read(["a", "c"], Selection(follow=True))
    await anext(lines)
    await settle()
    assert sources.open == 2
    await lines.aclose()
    assert sources.open == 0


async def test_a_reader_that_is_cancelled_ends_the_reading_everywhere(store: Store) -> None:
    sources = FakeSources(endless=asyncio.Event())

    async with asyncio.TaskGroup() as group:
        lines = broker(store, sources).read(["a"], Selection(follow=True))
        reading = group.create_task(copy(lines, bytearray().extend))
        await settle()
        assert sources.open == 1
        reading.cancel()
    assert sources.open == 0


async def test_a_task_that_is_not_assigned_yet_is_followed_once_it_is(store: Store) -> None:
    sources = FakeSources({"n2": [(line("later", "1"),)]})
    got: list[bytes] = []

    async with asyncio.TaskGroup() as group:
        lines = broker(store, sources).read(["later"], Selection(follow=True))
        group.create_task(copy(lines, got.append))
        await settle()
        assert sources.requests == []
        task = store.state.tasks["later"]
        assigned = Task(
            id="later",
            node_id="n2",
            version=task.version,
            status=TaskStatus(state=TaskState.ASSIGNED),
        )
        await store.propose([Update(object=assigned)])
    assert got == [b"1"]
