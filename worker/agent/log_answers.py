"""Answers a manager's questions for log lines, no faster than its reader takes them."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final

from common.errors import SwarmdError
from common.protocol.channel import Channel
from common.protocol.messages import (
    LOG_BATCH_BYTES_MAX,
    LOG_WINDOW,
    LogEnd,
    LogLine,
    LogLines,
    LogRequest,
)
from worker.agent.ports import Containers
from worker.containers.log_lines import LogQuery

ANSWERS_MAX: Final = 64
"""Requests answered at the same time."""
READERS_MAX: Final = 32
"""Logs read at the same time for one request that does not follow."""
_LINE_BYTES: Final = 64
"""What a line costs besides its data."""
FindContainer = Callable[[str, bool], Awaitable[str | None]]
"""The container of a task, or None; when the flag is set, waits for it to be made or for the task to end."""


class LogAnswers:
    """The answers of one session."""

    def __init__(
        self,
        containers: Containers,
        find: FindContainer,
        channel: Channel,
        group: asyncio.TaskGroup,
    ) -> None:
        self._containers, self._find = containers, find
        self._channel, self._group = channel, group
        self._answers: dict[str, tuple[_Answer, asyncio.Task[None]]] = {}

    def begin(self, request: LogRequest) -> None:
        """Starts answering a request."""
        if len(self._answers) >= ANSWERS_MAX:
            end = LogEnd(request_id=request.request_id, error="too many logs are being read")
            self._group.create_task(self._channel.send(end))
            return
        answer = _Answer(request, self._channel)
        task = self._group.create_task(self._run(answer))
        self._answers[request.request_id] = (answer, task)

    def more(self, request_id: str) -> None:
        """The reader took a batch."""
        if request_id in self._answers:
            self._answers[request_id][0].credit.release()

    def cancel(self, request_id: str) -> None:
        """Nobody reads on."""
        if request_id in self._answers:
            self._answers.pop(request_id)[1].cancel()

    async def _run(self, answer: "_Answer") -> None:
        try:
            await answer.run(self._containers, self._find)
        finally:
            self._answers.pop(answer.request.request_id, None)


class _Answer:
    """One request: a reader per task fills a bounded buffer, a sender empties it as credit allows."""

    def __init__(self, request: LogRequest, channel: Channel) -> None:
        self.request = request
        self.credit = asyncio.Semaphore(LOG_WINDOW)
        self._channel = channel
        self._lines: deque[LogLine] = deque()
        self._bytes = 0
        self._errors: list[str] = []
        self._readers_left = len(request.task_ids)
        self._changed, self._room = asyncio.Event(), asyncio.Event()
        # Followed logs stay open, so those must all be read at once.
        self._reading = asyncio.Semaphore(
            max(1, len(request.task_ids) if request.follow else READERS_MAX)
        )

    async def run(self, containers: Containers, find: FindContainer) -> None:
        async with asyncio.TaskGroup() as group:
            for task_id in self.request.task_ids:
                group.create_task(self._read(task_id, containers, find))
            await self._send()
        end = LogEnd(request_id=self.request.request_id, error="; ".join(self._errors))
        await self._channel.send(end)

    async def _read(self, task_id: str, containers: Containers, find: FindContainer) -> None:
        try:
            async with self._reading:
                container_id = await find(task_id, self.request.follow)
                if container_id is not None:
                    await self._read_container(task_id, container_id, containers)
        except (SwarmdError, OSError) as error:
            self._errors.append(f"task {task_id}: {error}")
        finally:
            self._readers_left -= 1
            self._changed.set()

    async def _read_container(
        self, task_id: str, container_id: str, containers: Containers
    ) -> None:
        records = containers.logs(container_id, _query(self.request))
        try:
            async for record in records:
                await self._put(
                    LogLine(task_id=task_id, stream=record.stream, at=record.at, data=record.data)
                )
        finally:
            if isinstance(records, AsyncGenerator):
                await records.aclose()

    async def _put(self, line: LogLine) -> None:
        while self._bytes >= LOG_BATCH_BYTES_MAX:
            self._room.clear()
            await self._room.wait()
        self._lines.append(line)
        self._bytes += len(line.data) + _LINE_BYTES
        self._changed.set()

    async def _send(self) -> None:
        while self._readers_left or self._lines:
            self._changed.clear()
            if self._lines:
                await self.credit.acquire()
                lines = tuple(self._lines)
                self._lines.clear()
                self._bytes = 0
                self._room.set()
                await self._channel.send(LogLines(request_id=self.request.request_id, lines=lines))
            else:
                await self._changed.wait()


def _query(request: LogRequest) -> LogQuery:
    return LogQuery(
        stdout=request.stdout,
        stderr=request.stderr,
        since=request.since,
        until=request.until,
        tail=request.tail,
        follow=request.follow,
    )
