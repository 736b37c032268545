"""An agent's session, with a test in the manager's place."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from common.bell import Bell
from common.errors import UnavailableError
from common.model.cluster import DEFAULT_HEARTBEAT_SECONDS
from common.model.node import NodeDescription
from common.model.task import Task, TaskState, TaskStatus
from common.protocol.channel import Channel, ChannelClosedError, LocalChannel, local_channel
from common.protocol.messages import (
    LOG_WINDOW,
    PROTOCOL_VERSION,
    Assignments,
    Heartbeat,
    HeartbeatTaken,
    LogCancel,
    LogEnd,
    LogLines,
    LogMore,
    LogRequest,
    Message,
    Register,
    Report,
    ReportTaken,
    SessionOpened,
    SessionRefused,
)
from tests.support.fake_clock import FakeBootClock, FakeClock, settle
from tests.support.fake_containers import FakeContainers
from worker.agent.inbox import Inbox
from worker.agent.lease import Lease
from worker.agent.log_answers import ANSWERS_MAX
from worker.agent.reporter import Reporter
from worker.agent.session import (
    BACKOFF_LONGEST_SECONDS,
    DESCRIBE_SECONDS,
    OPEN_SECONDS_MAX,
    SessionKeeper,
    SessionNeeds,
)
from worker.containers.log_lines import LogRecord

OPENED = SessionOpened(session_id="s", heartbeat_period_seconds=5.0)


class User:
    """In the agent's place."""

    def __init__(self) -> None:
        self.inbox = Inbox()
        self.seen: dict[str, TaskStatus] = {}

    async def find_container(self, task_id: str, wait: bool) -> str | None:
        return f"c-{task_id}"

    def statuses(self) -> Mapping[str, TaskStatus]:
        return self.seen

    def assign(self, inbox: Inbox) -> None:
        self.inbox = inbox


class World:
    def __init__(self, seed: int = 1) -> None:
        self.clock, self.user, self.reporter = FakeClock(), User(), Reporter()
        self.containers = FakeContainers()
        self.lease = Lease(Path("last-answer"), FakeBootClock(self.clock))
        self.hostname = "host1"
        self.attempts: list[float] = []
        self.reachable = True
        self.managers: list[LocalChannel] = []
        self.description_changed = Bell(self.clock)
        needs = SessionNeeds(
            node_id="n1",
            connect=self.connect,
            describe=lambda: NodeDescription(hostname=self.hostname),
            description_changed=self.description_changed,
            containers=self.containers,
            reporter=self.reporter,
            lease=self.lease,
            clock=self.clock,
            chance=random.Random(seed),
        )
        self.keeper = SessionKeeper(needs, self.user, Inbox())

    async def connect(self) -> Channel:
        self.attempts.append(self.clock.now())
        if not self.reachable:
            raise UnavailableError("no manager")
        manager, agent = local_channel()
        self.managers.append(manager)
        return agent

    @property
    def manager(self) -> LocalChannel:
        return self.managers[-1]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(self.keeper.run())
            await settle()
            yield
            running.cancel()

    async def heard(self) -> list[Message]:
        """What the newest manager heard until now."""
        await settle()
        messages: list[Message] = []
        while True:
            with suppress(TimeoutError, ChannelClosedError):
                async with asyncio.timeout(0):
                    messages.append(await self.manager.receive())
                    continue
            return messages

    async def say(self, *messages: Message) -> list[Message]:
        for message in messages:
            await self.manager.send(message)
        return await self.heard()


@pytest.fixture
def world() -> World:
    return World()


REGISTER = Register(
    node_id="n1", description=NodeDescription(hostname="host1"), protocol=PROTOCOL_VERSION
)


async def test_an_agent_says_who_it_is_and_then_all_it_has_seen(world: World) -> None:
    world.user.seen = {"a": TaskStatus(state=TaskState.RUNNING)}
    async with world.running():
        assert await world.heard() == [REGISTER]
        (report,) = await world.say(OPENED)
        assert isinstance(report, Report)
        assert [one.task_id for one in report.reports] == ["a"]
        assert await world.say(ReportTaken(number=report.number)) == []


async def test_heartbeats_keep_the_pace_that_the_manager_asks_for(world: World) -> None:
    async with world.running():
        await world.say(OPENED)
        await world.clock.advance(5.0)
        assert await world.heard() == [Heartbeat()]
        for _ in range(3):
            assert await world.say(HeartbeatTaken(heartbeat_period_seconds=1.0)) == []
            await world.clock.advance(1.0)
            assert await world.heard() == [Heartbeat()]
        assert len(world.managers) == 1


async def test_a_manager_that_does_not_answer_a_heartbeat_for_a_period_is_given_up(
    world: World,
) -> None:
    """A third of the grace is left then to find another way to the leader."""
    async with world.running():
        await world.say(OPENED)
        await world.clock.advance(9.9)
        assert len(world.managers) == 1
        await world.clock.advance(0.2 + 0.5 + 0.1)
        assert len(world.managers) == 2


async def test_a_short_period_does_not_make_answers_due_sooner_than_they_can_be(
    world: World,
) -> None:
    async with world.running():
        await world.say(replace(OPENED, heartbeat_period_seconds=0.5))
        await world.clock.advance(1.4)
        assert len(world.managers) == 1


async def test_a_manager_that_says_other_things_but_takes_no_heartbeat_is_given_up(
    world: World,
) -> None:
    async with world.running():
        await world.say(OPENED)
        for number in range(9):
            await world.manager.send(Assignments(applies_to=0, results_in=number + 1))
            await world.clock.advance(1.0)
        assert len(world.managers) == 1
        await world.clock.advance(2.0)
        assert len(world.managers) == 2


async def test_who_was_halted_reads_what_has_come_before_it_gives_a_manager_up(
    world: World,
) -> None:
    async with world.running():
        await world.say(OPENED)
        await world.clock.advance(5.0)
        assert await world.heard() == [Heartbeat()]
        world.clock.skip(60.0)
        await world.clock.advance(0.1)
        await world.say(HeartbeatTaken(heartbeat_period_seconds=5.0))
        await world.clock.advance(4.0)
        assert len(world.managers) == 1


async def test_an_outage_is_told_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world.reachable = False
    async with world.running():
        await world.clock.advance(60.0)
        world.reachable = True
        await world.clock.advance(8.0)
        await world.say(OPENED)
        world.manager.close()
        await settle()
    told = [record.getMessage() for record in caplog.records]
    assert told[0] == "no manager can be reached: no manager"
    assert told[1].startswith("a manager can be reached again, after 6")
    assert told[2].startswith("the session with the manager ended")
    assert len(told) == 3


async def test_attempts_are_no_further_apart_than_heartbeats(world: World) -> None:
    async with world.running():
        await world.say(replace(OPENED, heartbeat_period_seconds=1.0))
        world.reachable = False
        world.manager.close()
        await world.clock.advance(30.0)
        waits = [b - a for a, b in zip(world.attempts, world.attempts[1:], strict=False)]
        assert len(waits) >= 25
        assert max(waits[1:]) <= 1.0


async def test_nodes_that_lose_their_manager_together_come_back_one_after_the_other() -> None:
    backs = []
    for seed in range(20):
        world = World(seed)
        async with world.running():
            await world.say(OPENED)
            world.manager.close()
            await world.clock.advance(1.0)
        backs.append(world.attempts[1] - world.attempts[0])
    assert 0.05 <= min(backs) <= 0.2
    assert 0.4 <= max(backs) <= 0.6


async def test_a_manager_that_never_opens_the_session_is_given_up(world: World) -> None:
    async with world.running():
        await world.clock.advance(OPEN_SECONDS_MAX + BACKOFF_LONGEST_SECONDS)
        assert len(world.managers) == 2


async def test_attempts_grow_apart_up_to_a_bound_and_start_again_after_a_session(
    world: World,
) -> None:
    world.reachable = False
    async with world.running():
        await world.clock.advance(120.0)
        waits = [b - a for a, b in zip(world.attempts, world.attempts[1:], strict=False)]
        assert 0.05 <= waits[0] <= 0.1
        longest = min(BACKOFF_LONGEST_SECONDS, DEFAULT_HEARTBEAT_SECONDS)
        assert all(wait <= longest for wait in waits)
        assert all(wait >= longest / 2 for wait in waits[8:])
        world.reachable = True
        await world.clock.advance(BACKOFF_LONGEST_SECONDS)
        await world.say(OPENED)
        world.manager.close()
        world.reachable = False
        await settle()
        tried = len(world.attempts)
        await world.clock.advance(0.6)
        assert len(world.attempts) > tried


async def test_a_refused_agent_tries_again_later(world: World) -> None:
    async with world.running():
        await world.say(SessionRefused(reason="not part of this swarm"))
        assert len(world.managers) == 1
        await world.clock.advance(0.1)
        assert len(world.managers) == 2


async def test_a_changed_machine_is_described_again(world: World) -> None:
    async with world.running():
        await world.say(OPENED)
        await world.clock.advance(4.0)
        world.hostname = "renamed"
        for _ in range(4):
            await world.clock.advance(DESCRIBE_SECONDS / 4)
            await world.manager.send(HeartbeatTaken(heartbeat_period_seconds=5.0))
        registers = [m for m in await world.heard() if isinstance(m, Register)]
        assert registers == [replace(REGISTER, description=NodeDescription(hostname="renamed"))]


async def test_a_machine_that_says_that_it_has_changed_is_described_at_once(world: World) -> None:
    async with world.running():
        await world.say(OPENED)
        world.hostname = "renamed"
        world.description_changed.ring()
        registers = [m for m in await world.heard() if isinstance(m, Register)]
        assert [register.description.hostname for register in registers] == ["renamed"]


async def test_assignments_are_handed_on(world: World) -> None:
    async with world.running():
        await world.say(
            OPENED,
            Assignments(applies_to=0, results_in=1, tasks=(Task(id="a"),)),
            Assignments(applies_to=1, results_in=2, tasks=(Task(id="b"),), removed_task_ids=("a",)),
        )
        assert list(world.user.inbox.tasks) == ["b"]
        assert world.user.inbox.is_complete


async def test_a_gap_in_the_numbers_begins_a_new_session(world: World) -> None:
    async with world.running():
        await world.say(OPENED, Assignments(applies_to=0, results_in=1))
        await world.say(Assignments(applies_to=2, results_in=3, tasks=(Task(id="lost"),)))
        await world.clock.advance(0.6)
        assert len(world.managers) == 2
        assert await world.heard() == [REGISTER]
        assert not world.user.inbox.tasks


# --------------------------------------------------------------------------------------- logs


def lines_of(messages: list[Message]) -> list[bytes]:
    return [line.data for m in messages if isinstance(m, LogLines) for line in m.lines]


async def test_a_log_is_sent_only_as_fast_as_it_is_taken(world: World) -> None:
    big = [LogRecord(stream="stdout", at=1.0, data=bytes([n]) * 70_000) for n in range(10)]
    world.containers.lines = {"c-a": big}
    async with world.running():
        await world.say(OPENED)
        first = await world.say(LogRequest(request_id="r", task_ids=("a",)))
        assert len(first) == LOG_WINDOW
        rest: list[Message] = []
        for _ in range(20):
            rest += await world.say(LogMore(request_id="r"))
        assert lines_of(first + rest) == [record.data for record in big]
        assert rest[-1] == LogEnd(request_id="r")


async def test_a_log_that_nobody_reads_any_more_ends(world: World) -> None:
    big = [LogRecord(stream="stdout", at=1.0, data=b"x" * 70_000)] * 10
    world.containers.lines = {"c-a": big}
    async with world.running():
        await world.say(OPENED)
        await world.say(LogRequest(request_id="r", task_ids=("a",)))
        assert await world.say(LogCancel(request_id="r")) == []
        assert await world.say(LogMore(request_id="r")) == []


async def test_too_many_logs_at_once_are_refused_without_ending_the_session(world: World) -> None:
    world.containers.lines = {"c-a": [LogRecord(stream="stdout", at=1.0, data=b"x" * 70_000)] * 9}
    async with world.running():
        await world.say(OPENED)
        for number in range(ANSWERS_MAX):
            await world.say(LogRequest(request_id=f"r{number}", task_ids=("a",)))
        assert await world.say(LogRequest(request_id="more", task_ids=("a",))) == [
            LogEnd(request_id="more", error="too many logs are being read")
        ]


async def test_a_log_that_cannot_be_read_says_why(world: World) -> None:
    async with world.running():
        await world.say(OPENED)
        world.containers.log_error = UnavailableError("the disk is gone")
        (end,) = await world.say(LogRequest(request_id="r", task_ids=("a",)))
        assert end == LogEnd(request_id="r", error="task a: the disk is gone")
