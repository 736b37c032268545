"""The dispatcher as an agent sees it: over a channel, with a test in the agent's place."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from common.errors import NoLeaderError
from common.model.cluster import Cluster, ClusterSpec, DispatcherConfig
from common.model.node import Node, NodeDescription, NodeSpec, NodeState, NodeStatus, Role
from common.model.task import Task, TaskState, TaskStatus
from common.protocol.channel import (
    CHANNEL_QUEUE_MAX,
    ChannelClosedError,
    LocalChannel,
    local_channel,
)
from common.protocol.messages import (
    Assignments,
    Heartbeat,
    HeartbeatTaken,
    LogLines,
    Message,
    NodeTold,
    Register,
    Report,
    ReportTaken,
    SessionOpened,
    SessionRefused,
    TaskReport,
)
from manager.dispatcher.reports import TEXT_CHARS_MAX
from manager.dispatcher.server import DESCRIPTION_BYTES_MAX, Dispatcher
from manager.dispatcher.sessions import STATUSES_BURST, UNASKED_BURST
from manager.store.changes import Create, Delete, SetDesiredState, Update
from manager.store.replica import ReignOverError
from manager.store.store import Store, memory_store
from tests.support.fake_clock import FakeClock, settle


class World:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store: Store = memory_store(self.clock, random.Random(1))
        self.told = told_of("old")
        self.dispatcher = Dispatcher(
            self.store, self.clock, random.Random(2), told=lambda node: self.told
        )
        self.group: asyncio.TaskGroup | None = None

    @asynccontextmanager
    async def leading(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as self.group:
            leading = self.group.create_task(self.dispatcher.run())
            await settle()
            yield
            leading.cancel()

    async def open(self, node_id: str = "n1") -> "Agent":
        agent = await self.knock(node_id)
        opened, assignments = await agent.hear()
        assert isinstance(opened, SessionOpened)
        assert isinstance(assignments, Assignments)
        assert assignments.applies_to == 0
        agent.tasks = assignments.tasks
        agent.opened = opened
        return agent

    async def knock(self, node_id: str, *, certificate: str = "", protocol: int = 1) -> "Agent":
        manager, agent = local_channel()
        assert self.group is not None
        self.group.create_task(self.dispatcher.serve(manager, "10.0.0.7", certificate))
        description = NodeDescription(hostname=f"host-{node_id}")
        register = Register(node_id=node_id, description=description, protocol=protocol)
        await agent.send(register)
        return Agent(agent)

    def node(self, node_id: str = "n1") -> Node:
        return self.store.state.nodes[node_id]

    def task(self, task_id: str) -> Task:
        return self.store.state.tasks[task_id]

    async def beat_every(self, seconds: float) -> None:
        cluster = self.store.state.cluster()
        assert cluster is not None
        spec = ClusterSpec(dispatcher=DispatcherConfig(heartbeat_period_seconds=seconds))
        await self.store.propose([Update(object=replace(cluster, spec=spec))])

    async def want(self, task_id: str, state: TaskState) -> None:
        await self.store.propose([SetDesiredState(task_id=task_id, state=state)])


class Agent:
    def __init__(self, channel: LocalChannel) -> None:
        self.channel = channel
        self.tasks: tuple[Task, ...] = ()
        self.opened: SessionOpened | None = None

    async def hear(self) -> list[Message]:
        """What came until now; raises when the channel ended and nothing came."""
        await settle()
        heard: list[Message] = []
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(self._listen(heard))
            await settle()
            listening.cancel()
        if not heard and listening.done() and not listening.cancelled():
            raise ChannelClosedError
        return heard

    async def _listen(self, heard: list[Message]) -> None:
        try:
            while True:
                heard.append(await self.channel.receive())
        except ChannelClosedError:
            return

    async def report(self, number: int, *reports: tuple[str, TaskState]) -> None:
        statuses = [(task_id, TaskStatus(state=state)) for task_id, state in reports]
        await self.report_statuses(number, statuses)

    async def report_statuses(
        self, number: int, statuses: Iterable[tuple[str, TaskStatus]]
    ) -> None:
        told = tuple(TaskReport(task_id=key, status=status) for key, status in statuses)
        await self.channel.send(Report(number=number, reports=told))


def told_of(root: str) -> NodeTold:
    return NodeTold(role=Role.WORKER, trust=root.encode(), issuer=b"key")


def assigned(task_id: str, node_id: str = "n1") -> Create:
    status = TaskStatus(state=TaskState.ASSIGNED)
    return Create(object=Task(id=task_id, node_id=node_id, status=status))


@pytest.fixture
async def world() -> World:
    world = World()
    await world.store.propose(
        [
            Create(object=Cluster(id="c")),
            Create(object=Node(id="n1")),
            Create(object=Node(id="n2")),
            assigned("a"),
            assigned("b"),
            assigned("other", "n2"),
        ]
    )
    return world


async def test_a_node_that_registers_is_ready_and_described_when_its_session_opens(
    world: World,
) -> None:
    async with world.leading():
        agent = await world.open()
        assert world.node().status == NodeStatus(state=NodeState.READY, addr="10.0.0.7")
        assert world.node().description == NodeDescription(hostname="host-n1")
        assert [task.id for task in agent.tasks] == ["a", "b"]
        assert agent.opened is not None
        assert 4.5 <= agent.opened.heartbeat_period_seconds <= 5.5
        agent.channel.close()


async def test_an_unknown_node_is_refused(world: World) -> None:
    async with world.leading():
        agent = await world.knock("n9")
        refusal = SessionRefused(reason="node n9 is not part of this swarm", is_final=True)
        assert await agent.hear() == [refusal]
        with pytest.raises(ChannelClosedError):
            await agent.hear()
        assert "n9" not in world.store.state.nodes


async def test_a_node_that_the_next_leader_let_in_is_not_sent_away_for_good(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One who has led, and does not know yet that it no longer does, does not know that node."""

    async def never() -> None:
        raise NoLeaderError

    async def catch_up() -> None:
        await world.store.propose([Create(object=Node(id="n9"))])

    async with world.leading():
        monkeypatch.setattr(world.store, "up_to_date", never)
        agent = await world.knock("n9")
        (refusal,) = await agent.hear()
        assert isinstance(refusal, SessionRefused)
        assert not refusal.is_final
        monkeypatch.setattr(world.store, "up_to_date", catch_up)
        agent = await world.knock("n9")
        assert isinstance((await agent.hear())[0], SessionOpened)
        agent.channel.close()


async def test_a_node_with_the_certificate_of_another_is_refused(world: World) -> None:
    async with world.leading():
        agent = await world.knock("n1", certificate="n2")
        assert await agent.hear() == [SessionRefused(reason="the certificate is that of node n2")]
        agent = await world.knock("n1", certificate="n1")
        assert isinstance((await agent.hear())[0], SessionOpened)
        agent.channel.close()


async def test_a_silent_node_is_marked_as_down_once_the_log_takes_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(_changes: object) -> int:
        raise NoLeaderError

    async with world.leading():
        agent = await world.open()
        with monkeypatch.context() as patch:
            patch.setattr(world.store, "propose", unavailable)
            await world.clock.advance(15.1)
            assert world.node().status.state is NodeState.READY
        await world.clock.advance(1.1)
        assert world.node().status.state is NodeState.DOWN
        agent.channel.close()


async def test_a_manager_that_does_not_lead_refuses(world: World) -> None:
    async with asyncio.TaskGroup() as world.group:
        agent = await world.knock("n1")
        assert await agent.hear() == [SessionRefused(reason="this manager does not lead")]


async def test_who_does_not_say_who_it_is_is_sent_away(world: World) -> None:
    async with world.leading():
        manager, agent = local_channel()
        assert world.group is not None
        serving = world.group.create_task(world.dispatcher.serve(manager))
        await world.clock.advance(10.0)
        assert serving.done()
        with pytest.raises(ChannelClosedError):
            await agent.receive()


async def test_differences_come_in_order_and_only_for_what_matters(world: World) -> None:
    async with world.leading():
        agent = await world.open()
        await world.want("a", TaskState.SHUTDOWN)
        await world.store.propose([Delete(table="task", id="b"), assigned("c")])
        first, *more = await agent.hear()
        assert isinstance(first, Assignments)
        heard = [first, *more]
        told = [task for m in heard if isinstance(m, Assignments) for task in m.tasks]
        assert {task.id: task.desired_state for task in told} == {
            "a": TaskState.SHUTDOWN,
            "c": TaskState.RUNNING,
        }
        numbers = [(m.applies_to, m.results_in) for m in heard if isinstance(m, Assignments)]
        assert numbers == [(n, n + 1) for n in range(1, len(numbers) + 1)]
        await agent.report(1, ("c", TaskState.RUNNING))
        assert await agent.hear() == [ReportTaken(number=1)]
        agent.channel.close()


async def test_what_is_committed_in_one_turn_is_told_in_one_message(world: World) -> None:
    async with world.leading():
        agent = await world.open()
        await world.store.propose([assigned(f"t{n}") for n in range(50)])
        (message,) = await agent.hear()
        assert isinstance(message, Assignments)
        assert len(message.tasks) == 50
        agent.channel.close()


async def test_a_report_is_acknowledged_once_it_is_committed(world: World) -> None:
    async with world.leading():
        agent = await world.open()
        await agent.report(1, ("a", TaskState.ACCEPTED), ("b", TaskState.RUNNING))
        assert await agent.hear() == [ReportTaken(number=1)]
        assert world.task("a").status.state is TaskState.ACCEPTED
        assert world.task("b").status.state is TaskState.RUNNING
        agent.channel.close()


async def test_a_node_reports_only_its_own_tasks_and_only_forward(world: World) -> None:
    async with world.leading():
        agent = await world.open()
        index = world.store.state.index
        await agent.report(
            1,
            ("other", TaskState.FAILED),
            ("nobody", TaskState.FAILED),
            ("a", TaskState.PENDING),
            ("b", TaskState.ORPHANED),
        )
        assert await agent.hear() == [ReportTaken(number=1)]
        assert world.store.state.index == index
        agent.channel.close()


async def test_what_is_known_already_is_not_written_again(world: World) -> None:
    async with world.leading():
        agent = await world.open()
        await agent.report(1, ("a", TaskState.RUNNING))
        await agent.hear()
        index = world.store.state.index
        await agent.report(2, ("a", TaskState.RUNNING))
        assert await agent.hear() == [ReportTaken(number=2)]
        assert world.store.state.index == index
        agent.channel.close()


async def test_an_endless_error_is_cut(world: World) -> None:
    async with world.leading():
        agent = await world.open()
        status = TaskStatus(state=TaskState.FAILED, err="x" * 10_000_000)
        await agent.report_statuses(1, [("a", status)])
        assert await agent.hear() == [ReportTaken(number=1)]
        assert world.task("a").status.err == "x" * TEXT_CHARS_MAX
        agent.channel.close()


async def test_an_agent_that_does_not_wait_for_the_acknowledgement_is_cut_off(
    world: World,
) -> None:
    async with world.leading():
        agent = await world.open()
        await agent.report(1, ("a", TaskState.RUNNING))
        await agent.report(2, ("b", TaskState.RUNNING))
        with pytest.raises(ChannelClosedError):
            await agent.hear()


async def test_a_verdict_of_a_manager_is_told(world: World) -> None:
    async with world.leading():
        agent = await world.open()
        await agent.report(1, ("a", TaskState.RUNNING))
        await agent.hear()
        task = world.task("a")
        rejected = replace(task, status=TaskStatus(state=TaskState.REJECTED))
        await world.store.propose([Update(object=rejected)])
        (message,) = await agent.hear()
        assert isinstance(message, Assignments)
        assert message.tasks == (world.task("a"),)
        agent.channel.close()


async def test_a_node_is_told_what_concerns_it_when_that_changes_and_only_then(
    world: World,
) -> None:
    async with world.leading():
        agent = await world.knock("n1", protocol=2)
        opened, told, assignments = await agent.hear()
        assert isinstance(opened, SessionOpened)
        assert told == told_of("old")
        assert isinstance(assignments, Assignments)
        await world.store.propose(
            [Update(object=replace(world.node(), spec=NodeSpec(name="named")))]
        )
        world.dispatcher.tell_nodes(["n1", "n2"])
        assert await agent.hear() == []
        world.told = told_of("new")
        world.dispatcher.tell_nodes(["n1"])
        assert await agent.hear() == [told_of("new")]
        world.told = told_of("newest")
        await agent.channel.send(Heartbeat())
        told, taken = await agent.hear()
        assert told == told_of("newest")
        assert isinstance(taken, HeartbeatTaken)
        agent.channel.close()


async def test_a_change_of_the_cluster_is_told_at_once(world: World) -> None:
    async with world.leading():
        agent = await world.knock("n1", protocol=2)
        await agent.hear()
        world.told = told_of("new")
        await world.beat_every(1.0)
        assert await agent.hear() == [told_of("new")]
        agent.channel.close()


async def test_an_agent_of_the_first_protocol_is_not_told_of_its_node(world: World) -> None:
    async with world.leading():
        agent = await world.open()
        world.told = told_of("new")
        world.dispatcher.tell_nodes(["n1"])
        await agent.channel.send(Heartbeat())
        (taken,) = await agent.hear()
        assert isinstance(taken, HeartbeatTaken)
        agent.channel.close()


# --------------------------------------------------------------------------------- heartbeats


async def test_a_node_that_beats_stays_ready(world: World) -> None:
    async with world.leading():
        agent = await world.open()
        for _ in range(10):
            await world.clock.advance(5.0)
            await agent.channel.send(Heartbeat())
            (taken,) = await agent.hear()
            assert isinstance(taken, HeartbeatTaken)
            assert 4.5 <= taken.heartbeat_period_seconds <= 5.5
        assert world.node().status.state is NodeState.READY
        agent.channel.close()


async def test_three_periods_of_silence_are_down(world: World) -> None:
    async with world.leading():
        agent = await world.open()
        await world.clock.advance(14.9)
        assert world.node().status.state is NodeState.READY
        await world.clock.advance(0.2)
        assert world.node().status == NodeStatus(
            state=NodeState.DOWN, message="heartbeat failure", addr="10.0.0.7"
        )
        with pytest.raises(ChannelClosedError):
            await agent.hear()
        await world.open()
        assert world.node().status.state is NodeState.READY


async def test_the_period_is_the_clusters(world: World) -> None:
    async with world.leading():
        await world.beat_every(1.0)
        agent = await world.open()
        assert agent.opened is not None
        assert 0.9 <= agent.opened.heartbeat_period_seconds <= 1.1
        await world.clock.advance(4.0)
        assert world.node().status.state is NodeState.DOWN


async def test_a_channel_that_ends_is_disconnected_and_down_after_the_grace(world: World) -> None:
    async with world.leading():
        agent = await world.open()
        agent.channel.close()
        await settle()
        assert world.node().status.state is NodeState.DISCONNECTED
        await world.clock.advance(15.1)
        assert world.node().status.state is NodeState.DOWN


async def test_a_node_that_comes_back_within_the_grace_is_ready(world: World) -> None:
    async with world.leading():
        (await world.open()).channel.close()
        await world.clock.advance(10.0)
        agent = await world.open()
        await world.clock.advance(10.0)
        assert world.node().status.state is NodeState.READY
        agent.channel.close()


async def test_a_second_session_of_a_node_replaces_the_first(world: World) -> None:
    async with world.leading():
        first = await world.open()
        second = await world.open()
        with pytest.raises(ChannelClosedError):
            await first.hear()
        assert world.node().status.state is NodeState.READY
        await world.want("a", TaskState.SHUTDOWN)
        assert len(await second.hear()) == 1
        second.channel.close()


async def test_after_a_change_of_leader_nodes_have_twice_the_time(world: World) -> None:
    async with world.leading():
        one, two = await world.open("n1"), await world.open("n2")
    for agent in (one, two):
        with pytest.raises(ChannelClosedError):
            await agent.hear()
    assert world.node("n1").status.state is NodeState.READY
    async with world.leading():
        assert world.node("n1").status.state is NodeState.UNKNOWN
        agent = await world.open("n1")
        assert world.node("n1").status.state is NodeState.READY
        await world.clock.advance(14.0)
        await agent.channel.send(Heartbeat())
        await world.clock.advance(14.0)
        await agent.channel.send(Heartbeat())
        assert world.node("n2").status.state is NodeState.UNKNOWN
        await world.clock.advance(2.1)
        assert world.node("n2").status.state is NodeState.DOWN
        assert world.node("n1").status.state is NodeState.READY
        agent.channel.close()


async def test_a_leader_that_was_replaced_finds_no_node_down_any_more(world: World) -> None:
    """It may have been stopped for so long that all of them seem silent to it."""
    ruling = await world.store.begin_reign()
    with pytest.RaisesGroup(ReignOverError, flatten_subgroups=True):
        async with asyncio.TaskGroup() as world.group:
            world.group.create_task(world.dispatcher.run(ruling))
            await settle()
            await world.open()
            await world.store.begin_reign()
            await world.clock.advance(16)
    assert world.node().status.state is NodeState.READY


async def test_a_node_that_is_removed_loses_its_session(world: World) -> None:
    async with world.leading():
        agent = await world.open()
        await world.store.propose([Delete(table="node", id="n1")])
        with pytest.raises(ChannelClosedError):
            await agent.hear()
        await world.clock.advance(100.0)
        assert "n1" not in world.store.state.nodes


async def test_tasks_of_a_node_that_is_down_for_a_day_are_given_up(world: World) -> None:
    await world.beat_every(3600.0)
    async with world.leading():
        agent = await world.open()
        await agent.report(1, ("a", TaskState.RUNNING), ("b", TaskState.COMPLETE))
        await agent.hear()
        agent.channel.close()
        await world.clock.advance((3 + 24) * 3600.0 + 1.0)
        assert world.task("a").status.state is TaskState.ORPHANED
        assert world.task("b").status.state is TaskState.COMPLETE


async def test_a_leader_that_was_halted_reads_what_has_come_before_it_calls_nodes_down(
    world: World,
) -> None:
    async with world.leading():
        agent = await world.open("n1")
        world.clock.skip(60.0)
        await world.clock.advance(1.0)
        assert world.node("n1").status.state is NodeState.READY
        await agent.channel.send(Heartbeat())
        await world.clock.advance(14.5)
        assert world.node("n1").status.state is NodeState.READY
        await world.clock.advance(1.0)
        assert world.node("n1").status.state is NodeState.DOWN
        agent.channel.close()


async def test_a_leader_that_is_always_late_finds_the_nodes_that_are_down(world: World) -> None:
    async with world.leading():
        agent = await world.open("n1")
        for _ in range(5):
            world.clock.skip(16.0)
            await world.clock.advance(0.1)
        assert world.node("n1").status.state is NodeState.DOWN
        agent.channel.close()


async def test_a_node_that_had_gone_before_the_leader_changed_is_down_after_the_usual_time(
    world: World,
) -> None:
    async with world.leading():
        (await world.open("n1")).channel.close()
        await settle()
    async with world.leading():
        assert world.node("n1").status.state is NodeState.DISCONNECTED
        await world.clock.advance(15.1)
        assert world.node("n1").status.state is NodeState.DOWN
        assert world.node("n2").status.state is NodeState.UNKNOWN


# ------------------------------------------------------------------------- agents out of order


TOO_MANY = SessionRefused(reason="the node opens too many sessions: it must wait")


async def test_a_node_opens_three_sessions_within_eight_seconds_and_no_more(world: World) -> None:
    async with world.leading():
        agents = []
        for _ in range(3):
            agents.append(await world.open("n1"))
            await world.clock.advance(0.1)
        refused = await world.knock("n1")
        assert await refused.hear() == [TOO_MANY]
        other = await world.open("n2")
        assert world.node("n1").status.state is NodeState.READY
        await world.clock.advance(8.0)
        agents.append(await world.open("n1"))
        for agent in (*agents, other):
            agent.channel.close()


async def test_a_node_that_was_out_of_order_waits_before_it_is_heard_again(world: World) -> None:
    async with world.leading():
        agent = await world.open("n1")
        await agent.channel.send(ReportTaken(number=1))
        await settle()
        refused = await world.knock("n1")
        assert await refused.hear() == [TOO_MANY]
        await world.clock.advance(8.0)
        (await world.open("n1")).channel.close()


async def test_a_flood_of_what_nobody_asked_for_ends_the_session(world: World) -> None:
    lines = LogLines(request_id="none", lines=())
    async with world.leading():
        agent = await world.open("n1")
        for _ in range(UNASKED_BURST + 1):
            await agent.channel.send(lines)
        await settle()
        assert world.node("n1").status.state is NodeState.DISCONNECTED


async def test_reports_are_written_no_faster_than_they_may_come(world: World) -> None:
    """What is too much waits, and with it the acknowledgement, which the agent must wait for."""
    async with world.leading():
        agent = await world.open("n1")
        number = 0
        while True:
            number += 1
            reports = tuple(
                TaskReport(task_id=f"x{n}", status=TaskStatus(state=TaskState.RUNNING))
                for n in range(200)
            )
            await agent.channel.send(Report(number=number, reports=reports))
            if await agent.hear() != [ReportTaken(number=number)]:
                break
        assert number == STATUSES_BURST // 200 + 1
        await world.clock.advance(1.0)
        assert await agent.hear() == [ReportTaken(number=number)]
        agent.channel.close()


async def test_an_agent_that_reads_nothing_holds_nobody_up(world: World) -> None:
    async with world.leading():
        deaf, other = await world.open("n1"), await world.open("n2")
        for turn in range(CHANNEL_QUEUE_MAX + 10):
            await world.store.propose([assigned(f"t{turn}", "n1")])
            await settle(5)
        await world.store.propose([assigned("mine", "n2")])
        (message,) = await other.hear()
        assert isinstance(message, Assignments)
        deaf.channel.close()
        other.channel.close()


async def test_an_agent_that_acknowledgements_wait_for_keeps_one_of_them(world: World) -> None:
    async with world.leading():
        agent = await world.open("n1")
        session = world.dispatcher._sessions["n1"]
        for turn in range(CHANNEL_QUEUE_MAX + 50):
            await agent.report(turn + 1, ("a", TaskState.RUNNING))
            await settle(8)
        assert len(session._outbox) == 0
        agent.channel.close()


async def test_a_description_without_end_is_refused(world: World) -> None:
    async with world.leading():
        manager, channel = local_channel()
        assert world.group is not None
        world.group.create_task(world.dispatcher.serve(manager, "10.0.0.7", "n1"))
        huge = NodeDescription(hostname="x" * (DESCRIPTION_BYTES_MAX + 1))
        await channel.send(Register(node_id="n1", description=huge))
        refusal = SessionRefused(reason="the description of the node is too large")
        assert await Agent(channel).hear() == [refusal]
