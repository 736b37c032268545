"""Many light agents on channels within the process, all stepped by one timer, for a dispatcher in virtual time."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from common.model.node import NodeDescription
from common.model.task import Task, TaskState, TaskStatus
from common.protocol.channel import Channel, ChannelClosedError, LocalChannel, local_channel
from common.protocol.messages import (
    PROTOCOL_VERSION,
    REPORTS_PER_MESSAGE_MAX,
    Assignments,
    Heartbeat,
    HeartbeatTaken,
    Message,
    Register,
    Report,
    ReportTaken,
    SessionOpened,
    TaskReport,
)
from tests.support.fake_clock import FakeClock
from worker.agent.inbox import Inbox, receive

STEP_SECONDS = 0.25
AGAIN_SECONDS_MAX = 8.0
"""How late at most an agent comes back to a leader that it has lost."""
_NEVER = float("inf")

Serve = Callable[[Channel, str], None]
"""Has the leader, if there is one, serve a channel of a node; otherwise closes it."""


@dataclass(slots=True)
class Agent:
    """One node's agent; its tasks outlive its sessions and its silences."""

    node_id: str
    inbox: Inbox = field(default_factory=Inbox)
    statuses: dict[str, TaskStatus] = field(default_factory=dict)
    waiting: dict[str, None] = field(default_factory=dict)
    """Tasks whose status is still to be reported."""
    channel: LocalChannel | None = None
    dial_at: float = 0.0
    beat_at: float = _NEVER
    spoke_at: float = 0.0
    """When it said something last that the leader of that time could hear."""
    silent_until: float = 0.0
    """It does nothing until then, and its channel stays: a host that hangs."""
    number: int = 0
    is_under_way: bool = False


class Fleet:
    """All agents; ``run`` steps them for ever."""

    def __init__(
        self, node_ids: list[str], clock: FakeClock, chance: random.Random, serve: Serve
    ) -> None:
        self._clock, self._chance, self._serve = clock, chance, serve
        self.agents = {node_id: Agent(node_id) for node_id in node_ids}
        self.sessions = 0
        """Opened so far."""

    async def run(self) -> None:
        """A step of all agents at a time: a fleet with a timer for each would cost a wake-up for each."""
        async with asyncio.TaskGroup() as group:
            while True:
                now = self._clock.monotonic()
                for agent in self.agents.values():
                    if agent.silent_until <= now:
                        await self._step(agent, now, group)
                await self._clock.sleep(STEP_SECONDS)

    def silence(self, agent: Agent, seconds: float) -> None:
        """The agent's host hangs for so long."""
        agent.silent_until = self._clock.monotonic() + seconds

    def cut(self, agent: Agent) -> None:
        """The agent's connection breaks; it comes back by itself."""
        if agent.channel is not None:
            agent.channel.close()

    async def _step(self, agent: Agent, now: float, group: asyncio.TaskGroup) -> None:
        if agent.channel is None:
            if agent.dial_at <= now:
                await self._dial(agent, now, group)
            return
        try:
            if agent.beat_at <= now:
                agent.beat_at = _NEVER
                await self._say(agent, Heartbeat())
            if agent.waiting and not agent.is_under_way:
                await self._say(agent, self._report(agent))
        except ChannelClosedError:
            self._lose(agent, agent.channel)

    async def _dial(self, agent: Agent, now: float, group: asyncio.TaskGroup) -> None:
        theirs, ours = local_channel()
        agent.channel, agent.is_under_way, agent.beat_at = ours, False, _NEVER
        agent.inbox = Inbox()
        self._serve(theirs, agent.node_id)
        register = Register(
            node_id=agent.node_id,
            description=NodeDescription(hostname=agent.node_id),
            protocol=PROTOCOL_VERSION,
        )
        try:
            await self._say(agent, register)
        except ChannelClosedError:
            self._lose(agent, ours)
        else:
            group.create_task(self._listen(agent, ours))

    async def _say(self, agent: Agent, message: Message) -> None:
        assert agent.channel is not None
        await agent.channel.send(message)
        agent.spoke_at = self._clock.monotonic()

    async def _listen(self, agent: Agent, channel: LocalChannel) -> None:
        try:
            while agent.channel is channel:
                self._hear(agent, await channel.receive())
        except ChannelClosedError:
            pass
        self._lose(agent, channel)

    def _lose(self, agent: Agent, channel: LocalChannel) -> None:
        channel.close()
        if agent.channel is channel:
            agent.channel = None
            wait = self._chance.uniform(0.0, AGAIN_SECONDS_MAX)
            agent.dial_at = self._clock.monotonic() + wait

    def _hear(self, agent: Agent, message: Message) -> None:
        match message:
            case SessionOpened(heartbeat_period_seconds=seconds):
                self.sessions += 1
                agent.beat_at = self._clock.monotonic() + seconds
                agent.waiting = dict.fromkeys(agent.statuses)
            case HeartbeatTaken(heartbeat_period_seconds=seconds):
                agent.beat_at = self._clock.monotonic() + seconds
            case Assignments():
                agent.inbox = receive(agent.inbox, message)
                self._take(agent)
            case ReportTaken():
                agent.is_under_way = False
            case _:
                pass

    # --------------------------------------------------------------------------------- the tasks

    def _take(self, agent: Agent) -> None:
        if agent.inbox.unfinished is not None:
            return
        for task_id in agent.statuses.keys() - agent.inbox.tasks.keys():
            del agent.statuses[task_id]
            agent.waiting.pop(task_id, None)
        for task in agent.inbox.tasks.values():
            self._go_on(agent, task)

    def _go_on(self, agent: Agent, task: Task) -> None:
        """A task runs at once when that is wanted, and stops at once."""
        before = agent.statuses.get(task.id)
        state = before.state if before else task.status.state
        if state > TaskState.RUNNING:
            reached = state
        elif task.desired_state > TaskState.RUNNING:
            reached = TaskState.SHUTDOWN
        else:
            reached = max(state, min(task.desired_state, TaskState.RUNNING))
        if before is None or reached > state:
            agent.statuses[task.id] = TaskStatus(state=reached, timestamp=self._clock.now())
            agent.waiting[task.id] = None

    def _report(self, agent: Agent) -> Report:
        chosen = [*agent.waiting][:REPORTS_PER_MESSAGE_MAX]
        for task_id in chosen:
            del agent.waiting[task_id]
        agent.number += 1
        agent.is_under_way = True
        reports = tuple(TaskReport(task_id=one, status=agent.statuses[one]) for one in chosen)
        return Report(number=agent.number, reports=reports)
