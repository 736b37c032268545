"""Reads logs through the manager that leads, on one that does not, by one connection while there are readers."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Final, Never

from common.apart import apart
from common.errors import NotLeaderError, SwarmdError, UnavailableError
from common.ids import IdSource
from common.protocol.channel import Channel
from common.protocol.messages import (
    FromManager,
    LogCancel,
    LogEnd,
    LogLine,
    LogLines,
    LogRequest,
)
from manager.dispatcher.log_streams import LogStream
from manager.dispatcher.server import LEADER_CHANGED
from manager.logs.broker import Selection

READS_MAX: Final = 256
"""Logs read at the same time through the leader."""
Connect = Callable[[str], Awaitable[Channel]]
"""Opens a channel for logs to the manager at ``host:port``."""
_log = logging.getLogger(__name__)


class RemoteLogs:
    """Reads for as long as ``run`` runs."""

    def __init__(self, leader: Callable[[], str], connect: Connect, new_id: IdSource) -> None:
        """``leader`` gives ``host:port`` of the manager that leads, or raises NoLeaderError."""
        self._leader, self._connect, self._new_id = leader, connect, new_id
        self._line: _Line | None = None
        self._begun: deque[_Line] = deque()
        self._bell = asyncio.Event()

    async def run(self) -> Never:
        """Serves the connections that readers need."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._bell.wait()
                self._bell.clear()
                while self._begun:
                    group.create_task(self._begun.popleft().run(self._connect))
        raise AssertionError("it runs until it is cancelled")

    async def read(
        self, task_ids: Sequence[str], selection: Selection
    ) -> AsyncGenerator[LogLine, None]:
        """Yields the lines of some tasks, as ``LogBroker.read`` does on the leader.

        Raises:
            NotLeaderError: the leader has changed, or is gone.
            UnavailableError: no manager leads, the leader cannot be reached, too much is read, or lines are missing.
        """
        line = self._line_to(self._leader())
        stream = line.open(_request(self._new_id(), task_ids, selection))
        try:
            while lines := await stream.take():
                for one in lines:
                    yield one
        finally:
            line.close(stream)

    def _line_to(self, address: str) -> "_Line":
        line = self._line
        if line is None or line.is_over or line.address != address:
            line = self._line = _Line(address)
            self._begun.append(line)
            self._bell.set()
        return line


class _Line:
    """One connection to a leader and what is read by it. It is over as soon as nobody reads any more."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.is_over = False
        self._streams: dict[str, LogStream] = {}
        self._outbox: deque[FromManager] = deque()
        self._bell = asyncio.Event()

    def open(self, request: LogRequest) -> LogStream:
        """Asks for lines.

        Raises:
            UnavailableError: too much is read already.
        """
        if len(self._streams) >= READS_MAX:
            raise UnavailableError("too many logs are being read by this manager")
        stream = LogStream(request.request_id, self._post)
        self._streams[request.request_id] = stream
        self._post(request)
        return stream

    def close(self, stream: LogStream) -> None:
        """Nobody reads this any more."""
        if self._streams.pop(stream.request_id, None) is not None:
            self._post(LogCancel(request_id=stream.request_id))
        self._bell.set()

    async def run(self, connect: Connect) -> None:
        """Serves its readers until there are none, or until the connection ends."""
        try:
            channel = await connect(self.address)
        except (SwarmdError, OSError) as error:
            _log.info("the leader cannot be asked for logs: %s", error)
            self._end(UnavailableError(f"the manager that leads cannot be asked for logs: {error}"))
            return
        try:
            await apart(self._serve(channel))
        except* (SwarmdError, OSError) as errors:
            _log.info("logs cannot be read through the leader any more: %s", _first(errors))
        finally:
            channel.close()
            self._end(NotLeaderError(LEADER_CHANGED))

    def _end(self, error: UnavailableError) -> None:
        self.is_over = True
        for stream in self._streams.values():
            stream.end(error)

    async def _serve(self, channel: Channel) -> None:
        async with asyncio.TaskGroup() as group:
            hearing = group.create_task(self._hear(channel))
            await self._tell(channel)
            hearing.cancel()

    async def _tell(self, channel: Channel) -> None:
        while self._streams or self._outbox:
            while self._outbox:
                await channel.send(self._outbox.popleft())
            self._bell.clear()
            if self._streams and not self._outbox:
                await self._bell.wait()
        self.is_over = (
            True  # in the same turn in which nobody reads: the next reader gets another line
        )

    async def _hear(self, channel: Channel) -> Never:
        while True:
            match await channel.receive():
                case LogLines(request_id=request_id, lines=lines):
                    stream = self._streams.get(request_id)
                    if stream is not None and not stream.put(lines):
                        raise UnavailableError(
                            "the leader sends more log lines than it was asked for"
                        )
                case LogEnd(request_id=request_id, error=error):
                    if request_id in self._streams:
                        fault = UnavailableError(error) if error else None
                        self._streams.pop(request_id).end(fault)
                case message:
                    raise UnavailableError(f"the leader has sent a {type(message).__name__}")

    def _post(self, message: FromManager) -> None:
        self._outbox.append(message)
        self._bell.set()


def _request(request_id: str, task_ids: Sequence[str], selection: Selection) -> LogRequest:
    return LogRequest(
        request_id=request_id,
        task_ids=tuple(task_ids),
        follow=selection.follow,
        stdout=selection.stdout,
        stderr=selection.stderr,
        since=selection.since,
        until=selection.until,
        tail=selection.tail,
    )


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
