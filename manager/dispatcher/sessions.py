"""One session with one node's agent, once it has registered."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Never, Protocol

from common.clock import Clock
from common.errors import UnavailableError
from common.model.node import NodeDescription
from common.protocol.channel import Channel
from common.protocol.messages import (
    REPORTS_PER_MESSAGE_MAX,
    Assignments,
    DialBack,
    FromManager,
    Heartbeat,
    HeartbeatTaken,
    LogCancel,
    LogEnd,
    LogLine,
    LogLines,
    LogRequest,
    Message,
    NodeTold,
    Register,
    Report,
    ReportTaken,
    SessionOpened,
    TaskReport,
)
from manager.dispatcher.assignments import (
    Told,
    difference,
    difference_messages,
    everything,
    full_messages,
    told_of,
)
from manager.dispatcher.handing import Handing
from manager.dispatcher.holdings import Holdings, find_in, needs_among
from manager.dispatcher.log_streams import LogStream
from manager.dispatcher.pace import Allowance
from manager.store.state import State

LOG_STREAMS_MAX: Final = 64
"""Logs read from one node at the same time."""
OUTBOX_MAX: Final = 1024
"""Questions for logs that wait for an agent that reads nothing, before its session ends."""
UNASKED_BURST: Final = 500
UNASKED_PER_SECOND: Final = 50
"""Messages that an agent may send without being asked: heartbeats, descriptions, lines of logs that were cancelled."""
STATUSES_BURST: Final = 5000
STATUSES_PER_SECOND: Final = 500
"""Statuses of tasks written for one node; what is more waits, and with it the acknowledgement."""
DESCRIPTION_STATUSES: Final = 100
"""What the description of a node counts for among them."""
PROTOCOL_OF_NODE_TOLD: Final = 2
"""The first version of agents that are told about their nodes."""
PROTOCOL_OF_PAYLOADS: Final = 2
"""Agents that speak less are given no secrets and configs: tasks that name some are rejected there."""
PROTOCOL_OF_DIAL_BACK: Final = 3
"""Agents that speak less cannot be reached."""


class ProtocolError(UnavailableError):
    """An agent said what an agent does not say at this point: its session ends."""


class SessionKeeper(Protocol):
    """What a session needs of the dispatcher."""

    @property
    def state(self) -> State:
        """The store's tables."""
        ...

    @property
    def managers(self) -> Callable[[], tuple[str, ...]]:
        """Gives ``host:port`` of every manager."""
        ...

    def heard(self, session: "Session") -> None:
        """The agent said something."""
        ...

    def told(self, node_id: str) -> NodeTold | None:
        """What the node is to know about itself; None: nothing yet."""
        ...

    def when_sure(self, do: Callable[[], None]) -> None:
        """Does it once it is sure that this manager led when this was called."""
        ...

    def next_period_seconds(self) -> float:
        """The time within which the next heartbeat is due."""
        ...

    async def observe(self, node_id: str, reports: Sequence[TaskReport]) -> None:
        """Returns once the reports are committed."""
        ...

    async def redescribe(self, session: "Session", description: NodeDescription) -> None:
        """Returns once the description is committed."""
        ...


class Session:
    """Tells an agent what its node should have, and hears what it says.

    Hearing never waits for telling or for the store: a node whose reports are slow to commit still lives.
    """

    def __init__(
        self,
        register: Register,
        session_id: str,
        channel: Channel,
        keeper: SessionKeeper,
        clock: Clock,
    ) -> None:
        """A session with the agent that has sent ``register``."""
        self._clock, now = clock, clock.monotonic()
        self._unasked = Allowance(UNASKED_BURST, UNASKED_PER_SECOND, now)
        self._statuses = Allowance(STATUSES_BURST, STATUSES_PER_SECOND, now)
        self.node_id, self.session_id = register.node_id, session_id
        self._protocol = register.protocol
        self._channel, self._keeper = channel, keeper
        self._told: dict[str, Told] = {}
        self._holdings = Holdings()
        self._node_told: NodeTold | None = None
        self._may_tell_node = True
        self._number = 0
        self._dirty: dict[str, None] = {}  # a set that keeps the order
        self._outbox: deque[FromManager] = deque()
        self._heartbeat_waits = self._heartbeat_heard = False
        self._report: Report | None = None
        self._report_taken: ReportTaken | None = None
        self._description: NodeDescription | None = None
        self._to_tell, self._to_write = asyncio.Event(), asyncio.Event()
        self._logs: dict[str, LogStream] = {}

    async def run(self) -> Never:
        """Serves the session.

        Raises:
            ExceptionGroup: of what ended it.
        """
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._tell())
                group.create_task(self._write())
                while True:
                    message = await self._channel.receive()
                    self._keeper.heard(self)
                    self._hear(message)
        finally:
            for stream in self._logs.values():
                stream.end(UnavailableError(f"node {self.node_id} is not available"))
        raise AssertionError("unreachable")

    def end(self) -> None:
        """Ends the session soon; what waits for it learns of it."""
        self._channel.close()

    # ----------------------------------------------------------------------------------- telling

    def touch(self, task_ids: Iterable[str]) -> None:
        """These tasks may have changed for this node."""
        self._dirty.update(dict.fromkeys(task_ids))
        self._to_tell.set()

    def touch_all(self) -> None:
        """Anything may have changed for this node."""
        self.touch(self._told)
        self.touch(task.id for task in self._keeper.state.tasks_of_node(self.node_id))

    def tell_node(self) -> None:
        """What the node is told about itself may have changed."""
        self._may_tell_node = True
        self._to_tell.set()

    async def _tell(self) -> Never:
        period_seconds = self._keeper.next_period_seconds()
        await self._channel.send(
            SessionOpened(
                session_id=self.session_id,
                heartbeat_period_seconds=period_seconds,
                managers=self._keeper.managers(),
            )
        )
        for told in self._news_of_node():
            await self._channel.send(told)
        for assignments in self._everything():
            await self._channel.send(assignments)
        while True:
            await self._to_tell.wait()
            await asyncio.sleep(0)  # what else happens in this turn of the loop goes along
            self._to_tell.clear()
            for message in self._news():
                await self._channel.send(message)

    def _everything(self) -> list[Assignments]:
        tasks = everything(self._keeper.state.tasks_of_node(self.node_id), self.node_id)
        self._told = {task.id: told_of(task) for task in tasks}
        self._holdings = Holdings()
        handing = self._settle(self._told)
        messages = list(full_messages(tasks, self._number + 1, handing))
        self._number = messages[-1].results_in
        return messages

    def _news_of_node(self) -> list[FromManager]:
        if not self._may_tell_node or self._protocol < PROTOCOL_OF_NODE_TOLD:
            return []
        self._may_tell_node = False
        told = self._keeper.told(self.node_id)
        if told is None or told == self._node_told:
            return []
        self._node_told = told
        return [told]

    def _news(self) -> list[FromManager]:
        """Everything there is to tell now: tasks first, since other messages may be about them."""
        messages = self._news_of_node()
        dirty, self._dirty = self._dirty, {}
        news = difference(self.node_id, dirty, self._keeper.state.tasks, self._told)
        handing = self._settle(dirty)
        if news or handing:
            assignments = list(difference_messages(news, self._number, handing))
            self._number = assignments[-1].results_in
            self._told.update({task.id: told_of(task) for task in news.tasks})
            for task_id in news.removed:
                del self._told[task_id]
            messages.extend(assignments)
        if self._report_taken is not None:
            messages.append(self._report_taken)
            self._report_taken = None
        messages.extend(self._outbox)
        self._outbox.clear()
        if self._heartbeat_heard:
            self._heartbeat_heard = False
            period_seconds = self._keeper.next_period_seconds()
            messages.append(
                HeartbeatTaken(
                    heartbeat_period_seconds=period_seconds, managers=self._keeper.managers()
                )
            )
        return messages

    def _settle(self, task_ids: Iterable[str]) -> Handing:
        """Secrets and configs to give and to take, now that these tasks may have changed."""
        if self._protocol < PROTOCOL_OF_PAYLOADS:
            return Handing()
        state = self._keeper.state
        return self._holdings.settle(
            needs_among(task_ids, state.tasks, self.node_id), find_in(state)
        )

    def _post(self, message: FromManager) -> None:
        if len(self._outbox) >= OUTBOX_MAX:
            self.end()  # it reads nothing
            return
        self._outbox.append(message)
        self._to_tell.set()

    # ----------------------------------------------------------------------------------- hearing

    def _hear(self, message: Message) -> None:
        """Takes a message without waiting for anything."""
        match message:
            case Heartbeat():
                self._hear_heartbeat()
                self.tell_node()  # what it is told may depend on more than the store
            case Report():
                self._hear_report(message)
            case Register(description=description) if message.node_id == self.node_id:
                self._count_unasked()
                self._description = description
                self._to_write.set()
            case LogLines(request_id=request_id, lines=lines):
                self._hear_lines(request_id, lines)
            case LogEnd(request_id=request_id, error=error):
                if request_id not in self._logs:
                    self._count_unasked()
                else:
                    self._logs.pop(request_id).end(UnavailableError(error) if error else None)
            case _:
                raise ProtocolError(f"an agent sent a {type(message).__name__} out of place")

    def _count_unasked(self) -> None:
        if self._unasked.take(1, self._clock.monotonic()) > 0:
            raise ProtocolError("an agent says more than it was asked for")

    def _hear_heartbeat(self) -> None:
        self._count_unasked()
        if self._heartbeat_waits:
            raise ProtocolError("a second heartbeat came before the first was answered")
        self._heartbeat_waits = True
        self._keeper.when_sure(self._answer_heartbeat)

    def _answer_heartbeat(self) -> None:
        """An answer renews the leases of the agent's tasks: only who surely leads may give it."""
        self._heartbeat_waits, self._heartbeat_heard = False, True
        self._to_tell.set()

    def _hear_report(self, report: Report) -> None:
        if self._report is not None:
            raise ProtocolError("a second report came before the first was acknowledged")
        if len(report.reports) > REPORTS_PER_MESSAGE_MAX:
            raise ProtocolError(f"a report holds at most {REPORTS_PER_MESSAGE_MAX} statuses")
        self._report = report
        self._to_write.set()

    async def _write(self) -> Never:
        """Has what was heard committed, and says so."""
        while True:
            await self._to_write.wait()
            self._to_write.clear()
            if self._description is not None:
                description, self._description = self._description, None
                await self._pace(DESCRIPTION_STATUSES)
                await self._keeper.redescribe(self, description)
            if self._report is not None:
                report = self._report
                await self._pace(max(1, len(report.reports)))
                await self._keeper.observe(self.node_id, report.reports)
                self._report = None
                self._note_what_it_knows(report)
                self._report_taken = ReportTaken(number=report.number)
                self._to_tell.set()

    async def _pace(self, statuses: int) -> None:
        seconds = self._statuses.take(statuses, self._clock.monotonic())
        if seconds > 0:
            await self._clock.sleep(seconds)

    def _note_what_it_knows(self, report: Report) -> None:
        """An agent that said itself that a task has ended need not be told."""
        for one in report.reports:
            task = self._keeper.state.tasks.get(one.task_id)
            told = self._told.get(one.task_id)
            if task is not None and told is not None and task.status.state is one.status.state:
                self._told[one.task_id] = Told(told.desired_state, told_of(task).is_finished)

    def ask_to_dial_back(self, request_id: str) -> None:
        """Has the agent open a stream of bytes.

        Raises:
            UnavailableError: it is of a release that does not know how.
        """
        if self._protocol < PROTOCOL_OF_DIAL_BACK:
            raise UnavailableError(
                f"node {self.node_id} runs an older release and cannot be reached from here",
                hint="upgrade its swarmd",
            )
        self._post(DialBack(request_id=request_id))

    # -------------------------------------------------------------------------------------- logs

    def open_log(self, request: LogRequest) -> LogStream:
        """Asks the agent for lines.

        Raises:
            UnavailableError: too many are being read already.
        """
        if len(self._logs) >= LOG_STREAMS_MAX:
            raise UnavailableError(f"too many logs of node {self.node_id} are being read")
        stream = self._logs[request.request_id] = LogStream(request.request_id, self._post)
        self.touch(request.task_ids)  # the agent must know of the tasks before it is asked
        self._post(request)
        return stream

    def close_log(self, stream: LogStream) -> None:
        """Nobody reads on."""
        if self._logs.pop(stream.request_id, None) is not None:
            self._post(LogCancel(request_id=stream.request_id))

    def _hear_lines(self, request_id: str, lines: tuple[LogLine, ...]) -> None:
        stream = self._logs.get(request_id)
        if stream is None:
            self._count_unasked()
        elif not stream.put(lines):
            raise ProtocolError("more log lines came than were asked for")
