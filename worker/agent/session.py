"""Keeps one session with some manager: takes assignments, says that we live, reports, answers for logs."""

import asyncio
import logging
import random  # noqa: TID251 - only named as a type
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Never, Protocol, assert_never

from common.apart import apart
from common.backoff import delays
from common.bell import Bell
from common.clock import Clock
from common.errors import SwarmdError, UnavailableError
from common.model.cluster import DEFAULT_HEARTBEAT_SECONDS
from common.model.node import NodeDescription
from common.model.task import TaskStatus
from common.protocol.channel import Channel, ChannelClosedError
from common.protocol.messages import (
    PROTOCOL_VERSION,
    Assignments,
    DialBack,
    FromAgent,
    Heartbeat,
    HeartbeatTaken,
    LogCancel,
    LogEnd,
    LogLines,
    LogMore,
    LogRequest,
    Message,
    NodeTold,
    Register,
    Report,
    ReportTaken,
    SessionOpened,
    SessionRefused,
)
from worker.agent.inbox import Inbox, SequenceGapError, receive
from worker.agent.lease import Lease
from worker.agent.log_answers import LogAnswers
from worker.agent.ports import Containers
from worker.agent.reporter import Reporter

BACKOFF_FIRST_SECONDS: Final = 0.1
BACKOFF_LONGEST_SECONDS: Final = 8.0
"""Nor longer than a heartbeat's period (or ``BACKOFF_BOUND_SECONDS_MIN``): a node must be back within its grace."""
BACKOFF_BOUND_SECONDS_MIN: Final = 1.0
FAILOVER_SHARE: Final = 0.1
"""Of a heartbeat's period: the time over which nodes that have lost their manager together come back."""
OPEN_SECONDS_MAX: Final = 10.0
"""How long a manager may take to open a session."""
SILENCE_PERIODS_MAX: Final = 3
"""Heartbeat periods without a word from the manager before the session is given up."""
ANSWER_SECONDS_MIN: Final = 2.0
"""How long a heartbeat may be unanswered, and never less than a period: there is time left then for another way."""
LATE_SECONDS: Final = 0.5
"""Who wakes that much too late to look for an answer was halted itself, and reads first what has come meanwhile."""
DESCRIBE_SECONDS: Final = 20.0
"""How often this machine is looked at again, unless it says itself that something has changed."""
_log = logging.getLogger(__name__)

Connect = Callable[[], Awaitable[Channel]]


class SessionRefusedError(UnavailableError):
    """A manager does not want this node now."""


class SessionUser(Protocol):
    """Whom a session serves: the agent."""

    async def find_container(self, task_id: str, wait: bool) -> str | None:  # noqa: FBT001 - a plain callable
        """The container of a task, for its log."""
        ...

    def statuses(self) -> Mapping[str, TaskStatus]:
        """The status of every task, to report at the start of a session."""
        ...

    def assign(self, inbox: Inbox) -> None:
        """What this node should have has changed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionNeeds:
    """What sessions are made of."""

    node_id: str
    connect: Connect
    describe: Callable[[], NodeDescription]
    description_changed: Bell
    containers: Containers
    reporter: Reporter
    lease: Lease
    clock: Clock
    chance: random.Random


class SessionKeeper:
    """Opens a session, and another one whenever it ends."""

    def __init__(self, needs: SessionNeeds, user: SessionUser, inbox: Inbox) -> None:
        self._needs, self._user = needs, user
        self.inbox = inbox
        self._outage = _Outage(needs.clock)
        self._period_seconds = DEFAULT_HEARTBEAT_SECONDS

    async def run(self) -> Never:
        """Goes on for ever; waits longer after each attempt that did not open a session."""
        clock, chance, waits = self._needs.clock, self._needs.chance, self._waits()
        while True:
            if await self._try():
                waits = self._waits()
                await clock.sleep(chance.uniform(0.0, FAILOVER_SHARE * self._period_seconds))
            await clock.sleep(next(waits))

    def _waits(self) -> Iterator[float]:
        bound = max(BACKOFF_BOUND_SECONDS_MIN, self._period_seconds)
        longest = min(BACKOFF_LONGEST_SECONDS, bound)
        return delays(BACKOFF_FIRST_SECONDS, longest, self._needs.chance)

    def note_open(self, period_seconds: float) -> None:
        """A manager has opened a session, or says another period."""
        self._period_seconds = period_seconds
        self._outage.end()

    async def _try(self) -> bool:
        """Has one session, and says whether it was opened."""
        try:
            channel = await self._needs.connect()
        except (SwarmdError, OSError) as error:
            self._outage.note(str(error))
            return False
        session = _Session(self, self._needs, self._user, channel)
        try:
            await apart(session.run())
        except* (ChannelClosedError, SessionRefusedError, SequenceGapError) as errors:
            if session.is_open:
                _log.info("the session with the manager ended: %s", errors.exceptions[0])
            else:
                self._outage.note(str(errors.exceptions[0]))
        finally:
            channel.close()
        return session.is_open


class _Outage:
    """Says once that there is no manager, however often one is sought, and once that there is one again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: float | None = None

    def note(self, reason: str) -> None:
        """No session came about."""
        if self._since is None:
            self._since = self._clock.monotonic()
            _log.warning("no manager can be reached: %s", reason)
        else:
            _log.debug("no manager can be reached yet: %s", reason)

    def end(self) -> None:
        """A session came about."""
        if self._since is not None:
            seconds = self._clock.monotonic() - self._since
            _log.info("a manager can be reached again, after %.1f s", seconds)
            self._since = None


class _Session:
    """One session, from ``Register`` to the end of its channel."""

    def __init__(
        self, keeper: SessionKeeper, needs: SessionNeeds, user: SessionUser, channel: Channel
    ) -> None:
        self._keeper, self._needs, self._user, self._channel = keeper, needs, user, channel
        self.is_open = False
        self._heard_at = needs.clock.monotonic()
        self._period_seconds = OPEN_SECONDS_MAX / SILENCE_PERIODS_MAX
        self._beat_taken = asyncio.Event()
        self._asked_at = needs.lease.moment()
        self._description = needs.describe()

    async def run(self) -> Never:
        """Serves the session.

        Raises:
            ExceptionGroup: of the errors that ended it.
        """
        needs, channel = self._needs, self._channel
        async with asyncio.TaskGroup() as group:
            group.create_task(self._end_when_silent())
            self._asked_at = needs.lease.moment()
            await channel.send(self._register())
            logs = LogAnswers(needs.containers, self._user.find_container, channel, group)
            while True:
                message = await channel.receive()
                self._heard_at = needs.clock.monotonic()
                self._take(message, group, logs)
        raise AssertionError("unreachable")

    def _take(self, message: Message, group: asyncio.TaskGroup, logs: LogAnswers) -> None:
        """Takes a message. Nothing here waits: a manager that waits for us must always be heard."""
        match message:
            case SessionOpened() | SessionRefused() | HeartbeatTaken():
                self._take_answer(message, group)
            case Assignments():
                self._keeper.inbox = receive(self._keeper.inbox, message)
                if self._keeper.inbox.unfinished is None:
                    self._user.assign(self._keeper.inbox)
            case NodeTold() | DialBack():
                pass  # not the agent's: whoever has made the channel has heard it
            case ReportTaken(number=number):
                self._needs.reporter.take(number)
            case LogRequest() | LogMore() | LogCancel():
                _take_log_message(message, logs)
            case Register() | Heartbeat() | Report() | LogLines() | LogEnd():
                _refuse(message)
            case _:
                assert_never(message)

    def _take_answer(
        self, message: SessionOpened | SessionRefused | HeartbeatTaken, group: asyncio.TaskGroup
    ) -> None:
        match message:
            case SessionOpened(heartbeat_period_seconds=seconds):
                self._period_seconds = seconds
                self._keeper.note_open(seconds)
                self._needs.lease.renew(self._asked_at)
                self._open(group)
            case SessionRefused(reason=reason):
                raise SessionRefusedError(reason)
            case HeartbeatTaken(heartbeat_period_seconds=seconds):
                self._period_seconds = seconds
                self._keeper.note_open(seconds)
                self._needs.lease.renew(self._asked_at)
                self._beat_taken.set()

    def _open(self, group: asyncio.TaskGroup) -> None:
        if self.is_open:
            return
        self.is_open = True
        self._needs.reporter.repeat(self._user.statuses())
        group.create_task(self._needs.reporter.send_to(self._channel))
        group.create_task(self._beat(group))
        group.create_task(self._describe_again())

    async def _beat(self, group: asyncio.TaskGroup) -> Never:
        while True:
            await self._needs.clock.sleep(self._period_seconds)
            self._beat_taken.clear()
            self._asked_at = self._needs.lease.moment()
            alarm = group.create_task(self._end_unless_answered())
            await self._channel.send(Heartbeat())
            await self._beat_taken.wait()  # the answer sets the pace of the next one
            alarm.cancel()

    async def _end_unless_answered(self) -> None:
        """Closes the channel of a manager that does not answer a heartbeat: another way may lead to one that does."""
        limit = max(ANSWER_SECONDS_MIN, self._period_seconds)
        await _sleep_awake(self._needs.clock, limit)
        _log.warning("the manager has not answered a heartbeat within %.1f s", limit)
        self._channel.close()

    async def _describe_again(self) -> Never:
        needs = self._needs
        while True:
            await needs.description_changed.wait(DESCRIBE_SECONDS)
            description = needs.describe()
            if description != self._description:
                self._description = description
                await self._channel.send(self._register())

    def _register(self) -> Register:
        return Register(
            node_id=self._needs.node_id,
            description=self._description,
            protocol=PROTOCOL_VERSION,
        )

    async def _end_when_silent(self) -> None:
        """Closes the channel of a manager that says nothing any more; whoever uses it then learns of the end."""
        clock = self._needs.clock
        while True:
            limit = self._period_seconds * SILENCE_PERIODS_MAX
            left = self._heard_at + limit - clock.monotonic()
            if left <= 0:
                _log.warning("the manager has said nothing for %.1f s", limit)
                self._channel.close()
                return
            await _sleep_awake(clock, left)


async def _sleep_awake(clock: Clock, seconds: float) -> None:
    """Sleeps. Should this process have been halted meanwhile, it gets a moment to take what has come."""
    until = clock.monotonic() + seconds
    await clock.sleep(seconds)
    if clock.monotonic() - until >= LATE_SECONDS:
        await clock.sleep(LATE_SECONDS)


def _take_log_message(message: LogRequest | LogMore | LogCancel, logs: LogAnswers) -> None:
    match message:
        case LogRequest():
            logs.begin(message)
        case LogMore(request_id=request_id):
            logs.more(request_id)
        case LogCancel(request_id=request_id):
            logs.cancel(request_id)


def _refuse(message: FromAgent) -> None:
    _log.warning("a manager sent a %s, which only agents do", type(message).__name__)
