"""The latest status of each task, told to the manager until it says that it has it."""

import asyncio
from collections.abc import Mapping

from common.model.task import TaskStatus
from common.protocol.channel import Channel
from common.protocol.messages import REPORTS_PER_MESSAGE_MAX, Report, TaskReport


class Reporter:
    """Holds what is still to be reported: at most one status per task, whatever the connection does."""

    def __init__(self) -> None:
        self._waiting: dict[str, TaskStatus] = {}
        self._under_way: dict[str, TaskStatus] = {}
        self._number = 0
        self._filled, self._taken = asyncio.Event(), asyncio.Event()

    def put(self, task_id: str, status: TaskStatus) -> None:
        """Has a status reported; an earlier one of the task that was not sent yet is dropped."""
        self._waiting[task_id] = status
        self._filled.set()

    def forget(self, task_id: str) -> None:
        """The task is no longer this node's."""
        self._waiting.pop(task_id, None)
        self._under_way.pop(task_id, None)

    def repeat(self, statuses: Mapping[str, TaskStatus]) -> None:
        """A session begins: everything is reported again."""
        self._under_way.clear()
        self._waiting = dict(statuses)
        self._filled.set()

    def take(self, number: int) -> None:
        """The manager has recorded the report of that number."""
        if number == self._number:
            self._under_way.clear()
            self._taken.set()

    async def send_to(self, channel: Channel) -> None:
        """Reports one batch after another, each once the one before is taken.

        Raises:
            ChannelClosedError: the session is over; the next one begins with ``repeat``.
        """
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._waiting:
                await channel.send(self._next())
                await self._taken.wait()

    def _next(self) -> Report:
        chosen = list(self._waiting)[:REPORTS_PER_MESSAGE_MAX]
        self._under_way = {task_id: self._waiting.pop(task_id) for task_id in chosen}
        self._taken.clear()
        self._number += 1
        return Report(
            number=self._number,
            reports=tuple(
                TaskReport(task_id=task_id, status=status)
                for task_id, status in self._under_way.items()
            ),
        )
