"""Brings log lines from the nodes that hold them to a reader, no faster than it reads."""

import asyncio
import random  # noqa: TID251 - only named as a type
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final, Protocol

from common.clock import Clock
from common.errors import NotLeaderError, SwarmdError, UnavailableError
from common.ids import IdSource, id_source
from common.model.task import TaskState
from common.protocol.messages import LogLine, LogRequest
from manager.store.store import Store
from manager.store.watch import WatchLaggedError

BATCHES_MAX: Final = 16
"""Batches of lines that wait for one reader; what comes further waits at the nodes."""


INCOMPLETE: Final = (
    "warning: incomplete log stream. some logs could not be retrieved for the following reasons"
)
"""In Docker's words."""


class LogSources(Protocol):
    """Who asks a node's agent (``manager.dispatcher`` does)."""

    def read_logs(
        self, node_id: str, request: LogRequest
    ) -> AsyncGenerator[tuple[LogLine, ...], None]:
        """Yields the lines that the agent answers.

        Raises:
            NotLeaderError: another manager leads (by now).
            UnavailableError: the agent is not there, or lines are missing.
        """
        ...


class Selection(Protocol):
    """Which lines. ``tail`` -1 is all (of each task); ``since`` and ``until`` 0.0 are unbounded."""

    @property
    def follow(self) -> bool: ...  # noqa: D102
    @property
    def stdout(self) -> bool: ...  # noqa: D102
    @property
    def stderr(self) -> bool: ...  # noqa: D102
    @property
    def since(self) -> float: ...  # noqa: D102
    @property
    def until(self) -> float: ...  # noqa: D102
    @property
    def tail(self) -> int: ...  # noqa: D102


class LogBroker:
    """Reads the logs of tasks wherever they run, on the manager that leads."""

    def __init__(
        self, store: Store, sources: LogSources, clock: Clock, chance: random.Random
    ) -> None:
        self._store, self._sources, self._clock = store, sources, clock
        self._new_id = id_source(chance)

    async def read(
        self, task_ids: Sequence[str], selection: Selection
    ) -> AsyncGenerator[LogLine, None]:
        """Yields the lines of some tasks as they come; each task's own are in order.

        A reader that follows is told of a node that does not answer by a line on stderr; any other at the end.
        Close the iterator (``contextlib.aclosing``) to end the reading everywhere.

        Raises:
            NotLeaderError: another manager leads (by now): nothing more will come.
            UnavailableError: after all lines that could be had: which are missing and why.
        """
        async with aclosing(self.read_batches(task_ids, selection)) as batches:
            async for lines in batches:
                for line in lines:
                    yield line

    async def read_batches(
        self, task_ids: Sequence[str], selection: Selection
    ) -> AsyncGenerator[tuple[LogLine, ...], None]:
        """The same, as the lines come from the nodes: several at once."""
        reading = _Reading(self._store, self._sources, self._clock, selection)
        async with asyncio.TaskGroup() as group:
            reader = group.create_task(reading.read_all(task_ids, self._new_id))
            try:
                while (lines := await reading.next_batch()) is not None:
                    yield lines
            except GeneratorExit:
                pass  # the group must not see it: nobody reads on, which is no error
            finally:
                reader.cancel()
        if reading.lost is not None:
            raise reading.lost
        if reading.faults and not selection.follow:
            raise UnavailableError(_warning(reading.faults))


class _Reading:
    """One reader's lines, merged from all nodes through one bounded queue."""

    def __init__(
        self, store: Store, sources: LogSources, clock: Clock, selection: Selection
    ) -> None:
        self._store, self._sources, self._clock = store, sources, clock
        self._selection = selection
        self._queue: asyncio.Queue[tuple[LogLine, ...] | None] = asyncio.Queue(BATCHES_MAX)
        self.faults: list[str] = []
        self.lost: NotLeaderError | None = None

    async def next_batch(self) -> tuple[LogLine, ...] | None:
        """The next lines; None at the end."""
        return await self._queue.get()

    async def read_all(self, task_ids: Sequence[str], new_id: IdSource) -> None:
        """Asks every node once for all of its tasks, and as they come for tasks that are not assigned yet."""
        by_node: dict[str, list[str]] = {}
        later = []
        for task_id in task_ids:
            node_id = self._node_of(task_id)
            if node_id:
                by_node.setdefault(node_id, []).append(task_id)
            elif self._selection.follow:
                later.append(task_id)
        async with asyncio.TaskGroup() as group:
            for node_id, tasks in by_node.items():
                group.create_task(self._read(node_id, tasks, new_id()))
            for task_id in later:
                group.create_task(self._read_later(task_id, new_id()))
        await self._queue.put(None)

    async def _read(self, node_id: str, task_ids: Sequence[str], request_id: str) -> None:
        request = self._request(task_ids, request_id)
        try:
            async with aclosing(self._sources.read_logs(node_id, request)) as batches:
                async for lines in batches:
                    await self._queue.put(lines)
        except NotLeaderError as error:
            self.lost = error
            await self._queue.put(None)
        except SwarmdError as error:
            self.faults.append(str(error))
            if self._selection.follow:
                await self._queue.put((self._fault_line(task_ids[0], str(error)),))

    async def _read_later(self, task_id: str, request_id: str) -> None:
        """Waits for a task to be assigned; it may be deleted before."""
        async with self._store.watch() as watch:
            while task_id in self._store.state.tasks and not self._node_of(task_id):
                try:
                    await watch.take()
                except WatchLaggedError:
                    continue  # the state is looked at again in any case
        node_id = self._node_of(task_id)
        if node_id:
            await self._read(node_id, [task_id], request_id)

    def _node_of(self, task_id: str) -> str:
        """Where a task is; "" as long as no agent was told of it."""
        task = self._store.state.tasks.get(task_id)
        return task.node_id if task and task.status.state >= TaskState.ASSIGNED else ""

    def _request(self, task_ids: Sequence[str], request_id: str) -> LogRequest:
        return LogRequest(
            request_id=request_id,
            task_ids=tuple(task_ids),
            follow=self._selection.follow,
            stdout=self._selection.stdout,
            stderr=self._selection.stderr,
            since=self._selection.since,
            until=self._selection.until,
            tail=self._selection.tail,
        )

    def _fault_line(self, task_id: str, error: str) -> LogLine:
        text = f"{_warning([error])}\n"
        return LogLine(task_id=task_id, stream="stderr", at=self._clock.now(), data=text.encode())


def _warning(faults: Sequence[str]) -> str:
    return f"{INCOMPLETE}: {', '.join(faults)}"
