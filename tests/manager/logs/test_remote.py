"""Logs read on a manager that does not lead, from the broker of the one that does."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest

from common.apart import apart
from common.errors import NoLeaderError, NotLeaderError, SwarmdError, UnavailableError
from common.protocol.channel import Channel, local_channel
from common.protocol.messages import LOG_WINDOW, LogLine, LogRequest
from manager.api.ports import LogSelection
from manager.logs import remote as module
from manager.logs import server
from manager.logs.broker import Selection
from manager.logs.remote import RemoteLogs
from manager.logs.server import answer
from tests.support.fake_clock import settle
from tests.support.log_lines import copy

FOLLOW = LogSelection(follow=True, tail=7)


def line(text: str) -> LogLine:
    return LogLine(task_id="a", stream="stdout", at=1.0, data=text.encode())


@dataclass
class FakeBroker:
    """Of the leader: gives numbered lines of each task, then waits, ends, or fails."""

    count: int = 1
    fault: SwarmdError | None = None
    goes_on: bool = False
    asked: list[tuple[Sequence[str], Selection]] = field(default_factory=list)
    given: int = 0
    open: int = 0
    bell: asyncio.Event = field(default_factory=asyncio.Event)

    async def read_batches(
        self, task_ids: Sequence[str], selection: Selection
    ) -> AsyncGenerator[tuple[LogLine, ...], None]:
        self.asked.append((task_ids, selection))
        self.open += 1
        try:
            for number in range(self.count):
                self.given += 1
                yield (line(f"{task_ids[0]}{number}"),)
            if self.goes_on:
                await self.bell.wait()
            if self.fault is not None:
                raise self.fault
        finally:
            self.open -= 1


class World:
    def __init__(self) -> None:
        self.brokers = {"one": FakeBroker(), "two": FakeBroker()}
        self.leader = "one"
        self.connections: list[Channel] = []
        self.group = asyncio.TaskGroup()
        self.numbers = iter(range(1000))
        self.logs = RemoteLogs(
            self.find_leader, self.connect, lambda: f"request{next(self.numbers)}"
        )

    @property
    def broker(self) -> FakeBroker:
        return self.brokers[self.leader]

    def find_leader(self) -> str:
        if not self.leader:
            raise NoLeaderError
        return self.leader

    async def connect(self, address: str) -> Channel:
        if address not in self.brokers:
            raise OSError("no route")
        ours, theirs = local_channel()
        self.connections.append(theirs)
        self.group.create_task(self.serve(theirs, self.brokers[address]))
        return ours

    async def serve(self, channel: Channel, broker: FakeBroker) -> None:
        with suppress(SwarmdError):
            try:
                await apart(answer(channel, broker))
            except* SwarmdError:
                pass

    @asynccontextmanager
    async def running(self) -> AsyncIterator["World"]:
        async with self.group:
            running = self.group.create_task(self.logs.run())
            yield self
            running.cancel()
            for channel in self.connections:
                channel.close()

    async def read(self, task: str = "a", selection: LogSelection = FOLLOW) -> list[bytes]:
        got: list[bytes] = []
        await copy(self.logs.read([task], selection), got.append)
        return got


async def test_the_lines_come_from_the_leader_as_they_were_asked_for() -> None:
    async with World().running() as world:
        world.broker.count = 3
        assert await world.read() == [b"a0", b"a1", b"a2"]
        ((task_ids, asked),) = world.broker.asked
        assert (task_ids, asked.follow, asked.tail) == (("a",), True, 7)


async def test_missing_lines_are_told_as_the_leader_tells_them() -> None:
    async with World().running() as world:
        world.broker.fault = UnavailableError("node n2 is not available")
        got: list[bytes] = []
        with pytest.raises(UnavailableError, match="node n2 is not available"):
            await copy(world.logs.read(["a"], FOLLOW), got.append)
        assert got == [b"a0"]


async def test_a_slow_reader_holds_the_leader_up_and_nobody_else() -> None:
    async with World().running() as world:
        world.broker.count = 100
        async with aclosing(world.logs.read(["slow"], FOLLOW)) as lines:
            await anext(lines)
            await settle()
            assert world.broker.given <= LOG_WINDOW + 2
            assert len(await world.read("fast")) == 100
            rest = [one.data async for one in lines]
        assert rest == [f"slow{number}".encode() for number in range(1, 100)]


async def test_readers_share_a_connection_which_ends_with_the_last_of_them() -> None:
    async with World().running() as world:
        world.broker.goes_on = True
        first, second = world.logs.read(["a"], FOLLOW), world.logs.read(["b"], FOLLOW)
        await anext(first)
        await anext(second)
        assert len(world.connections) == 1
        await first.aclose()
        await settle()
        assert world.broker.open == 1
        await second.aclose()
        await settle()
        assert world.broker.open == 0
        world.broker.goes_on = False
        assert await world.read() == [b"a0"]
        assert len(world.connections) == 2


async def test_a_leader_that_leads_no_more_ends_all_that_is_read() -> None:
    async with World().running() as world:
        world.broker.goes_on, world.broker.fault = True, NotLeaderError("another one leads")
        lines = world.logs.read(["a"], FOLLOW)
        await anext(lines)
        world.broker.bell.set()
        with pytest.raises(NotLeaderError, match="has changed"):
            await anext(lines)


async def test_a_leader_that_is_gone_ends_all_that_is_read() -> None:
    async with World().running() as world:
        world.broker.goes_on = True
        lines = world.logs.read(["a"], FOLLOW)
        await anext(lines)
        world.connections[0].close()
        with pytest.raises(NotLeaderError, match="has changed"):
            await anext(lines)


async def test_the_next_reader_goes_to_the_next_leader() -> None:
    async with World().running() as world:
        world.broker.goes_on = True
        before = world.logs.read(["a"], FOLLOW)
        await anext(before)
        world.leader = "two"
        assert await world.read("b") == [b"b0"]
        assert world.brokers["two"].asked
        await before.aclose()


async def test_without_a_leader_or_a_way_to_it_nothing_is_read() -> None:
    async with World().running() as world:
        world.leader = ""
        with pytest.raises(NoLeaderError):
            await world.read()
        world.leader = "nowhere"
        with pytest.raises(UnavailableError, match="cannot be asked for logs: no route"):
            await world.read()


async def test_so_many_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async with World().running() as world:
        world.broker.goes_on = True
        monkeypatch.setattr(server, "ANSWERS_MAX", 1)
        one = world.logs.read(["a"], FOLLOW)
        await anext(one)
        with pytest.raises(UnavailableError, match="too many logs are being read"):
            await world.read("b")
        monkeypatch.setattr(module, "READS_MAX", 1)
        with pytest.raises(UnavailableError, match="by this manager"):
            await world.read("b")
        await one.aclose()


async def test_a_request_that_is_made_again_replaces_the_one_before() -> None:
    """A reader that asks twice under one id gets one answer."""
    broker = FakeBroker(goes_on=True)
    ours, theirs = local_channel()
    async with asyncio.TaskGroup() as group:
        group.create_task(World().serve(theirs, broker))
        for _ in range(5):
            await ours.send(LogRequest(request_id="r", task_ids=("a",)))
        await settle()
        assert broker.open == 1
        ours.close()
    assert broker.open == 0
