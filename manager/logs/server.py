"""The manager that leads answers others for logs, no faster than their readers take the lines."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final, Never, Protocol

from common.errors import NotLeaderError, SwarmdError, UnavailableError
from common.protocol.channel import Channel
from common.protocol.messages import (
    LOG_WINDOW,
    LogCancel,
    LogEnd,
    LogLine,
    LogLines,
    LogMore,
    LogRequest,
)
from manager.logs.broker import Selection

ANSWERS_MAX: Final = 256
"""Requests of one manager answered at the same time."""


class BatchReader(Protocol):
    """Reads logs (``manager.logs.broker`` does)."""

    def read_batches(
        self, task_ids: Sequence[str], selection: Selection
    ) -> AsyncGenerator[tuple[LogLine, ...], None]:
        """Yields lines as they come.

        Raises:
            NotLeaderError: another manager leads.
            UnavailableError: lines are missing.
        """
        ...


async def answer(channel: Channel, logs: BatchReader) -> Never:
    """Answers the requests that come by a channel, until it ends.

    Raises:
        ExceptionGroup: of what ended it.
    """
    try:
        async with asyncio.TaskGroup() as group:
            answers = _Answers(channel, logs, group)
            while True:
                match await channel.receive():
                    case LogRequest() as request:
                        answers.begin(request)
                    case LogMore(request_id=request_id):
                        answers.more(request_id)
                    case LogCancel(request_id=request_id):
                        answers.cancel(request_id)
                    case message:
                        raise UnavailableError(f"a reader has sent a {type(message).__name__}")
    finally:
        channel.close()
    raise AssertionError("a channel ends with an error")


class _Answers:
    """The answers that are being given by one channel."""

    def __init__(self, channel: Channel, logs: BatchReader, group: asyncio.TaskGroup) -> None:
        self._channel, self._logs, self._group = channel, logs, group
        self._given: dict[str, tuple[asyncio.Semaphore, asyncio.Task[None]]] = {}

    def begin(self, request: LogRequest) -> None:
        if len(self._given) >= ANSWERS_MAX:
            end = LogEnd(request_id=request.request_id, error="too many logs are being read")
            self._group.create_task(self._channel.send(end))
            return
        self.cancel(request.request_id)
        credit = asyncio.Semaphore(LOG_WINDOW)
        task = self._group.create_task(self._run(request, credit))
        self._given[request.request_id] = (credit, task)

    def more(self, request_id: str) -> None:
        if request_id in self._given:
            self._given[request_id][0].release()

    def cancel(self, request_id: str) -> None:
        if request_id in self._given:
            self._given.pop(request_id)[1].cancel()

    async def _run(self, request: LogRequest, credit: asyncio.Semaphore) -> None:
        error = ""
        try:
            await self._copy(request, credit)
        except NotLeaderError:
            self._channel.close()  # which says so to all that it serves
            return
        except SwarmdError as fault:
            error = fault.message
        self._given.pop(request.request_id, None)
        await self._channel.send(LogEnd(request_id=request.request_id, error=error))

    async def _copy(self, request: LogRequest, credit: asyncio.Semaphore) -> None:
        batches = self._logs.read_batches(request.task_ids, request)
        async with aclosing(batches):
            async for lines in batches:
                await credit.acquire()
                await self._channel.send(LogLines(request_id=request.request_id, lines=lines))
