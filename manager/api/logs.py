"""Logs of services and tasks, brought together from the nodes that run them."""

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from aiohttp import web

from common.apart import apart
from common.engine_api.logs import LogOptions, LogResponse, log_options
from common.engine_api.streaming import while_connected
from common.errors import NoLeaderError, NotLeaderError, SwarmdError
from common.model.task import Task, TaskSpec
from common.protocol.messages import LogLine
from manager.api.access import manager_of
from manager.api.ports import LogReader, LogSelection, RunningManager, SwarmNode
from manager.store.state import State
from manager.store.watch import Committed, WatchLaggedError


class Logs:
    """The handlers of ``…/logs``."""

    def __init__(self, node: SwarmNode) -> None:
        self._node = node

    async def of_service(self, request: web.Request) -> web.StreamResponse:
        """``GET /services/{id}/logs``: of all its tasks; with ``follow`` also of those to come."""
        options, manager = log_options(request), _with_leader(self._node)
        service = manager.store.state.find_service(request.match_info["id"])
        tasks = list(manager.store.state.tasks_of_service(service.id))
        output = await _Output.begin(request, options, manager, service.spec.task_template)
        if options.follow:
            work = _follow(manager, service.id, tasks, output)
        else:
            work = output.copy(_placed(tasks), _selection(options))
        await while_connected(request, _until_leader_changes(work))
        return await output.end()

    async def of_task(self, request: web.Request) -> web.StreamResponse:
        """``GET /tasks/{id}/logs``."""
        options, manager = log_options(request), _with_leader(self._node)
        task = manager.store.state.find_task(request.match_info["id"])
        output = await _Output.begin(request, options, manager, task.spec)
        work = output.copy(_placed([task]), _selection(options))
        await while_connected(request, _until_leader_changes(work))
        return await output.end()


def _with_leader(node: SwarmNode) -> RunningManager:
    """This node's manager, if any manager leads: the nodes that have logs are connected to that one.

    Raises:
        NoLeaderError: none does.
    """
    manager = manager_of(node)
    if not any(one.leader for one in manager.managers().values()):
        raise NoLeaderError
    return manager


async def _until_leader_changes(work: Coroutine[Any, Any, None]) -> None:
    """Does work to its end, or until another manager leads: the client was told so, and must ask again."""
    try:
        await apart(work)
    except* NotLeaderError:
        pass


class _Output:
    """The client's end of the logs: one line after the other, whoever brings it, each at the client's pace."""

    def __init__(
        self, response: LogResponse, options: LogOptions, reader: LogReader, state: State
    ) -> None:
        self.options = options
        self._response, self._reader, self._state = response, reader, state
        self._one_at_a_time = asyncio.Lock()

    @classmethod
    async def begin(
        cls, request: web.Request, options: LogOptions, manager: RunningManager, spec: TaskSpec
    ) -> "_Output":
        has_tty = spec.container_spec is not None and spec.container_spec.tty
        response = await LogResponse.begin(request, options, tty=has_tty)
        return cls(response, options, manager.logs, manager.store.state)

    async def copy(self, task_ids: Sequence[str], selection: LogSelection) -> None:
        """Copies the lines of these tasks to the client; says in the stream when some are missing.

        Raises:
            NotLeaderError: another manager leads by now; the client was told so.
        """
        if not task_ids:
            return
        try:
            async with aclosing(self._reader.read(task_ids, selection)) as lines:
                async for line in lines:
                    await self._put(line)
        except ConnectionResetError:
            return  # the client has left, and ``while_connected`` ends the rest
        except SwarmdError as error:
            async with self._one_at_a_time:
                await self._response.fault(str(error))
            if isinstance(error, NotLeaderError):
                raise

    async def end(self) -> web.StreamResponse:
        return await self._response.end()

    async def _put(self, line: LogLine) -> None:
        details = self._details(line.task_id) if self.options.details else None
        async with self._one_at_a_time:
            await self._response.line(line.stream, line.at, line.data, details)

    def _details(self, task_id: str) -> dict[str, str]:
        task = self._state.tasks.get(task_id)
        return {
            "com.docker.swarm.node.id": task.node_id if task is not None else "",
            "com.docker.swarm.service.id": task.service_id if task is not None else "",
            "com.docker.swarm.task.id": task_id,
        }


async def _follow(
    manager: RunningManager, service_id: str, tasks: Iterable[Task], output: _Output
) -> None:
    """Copies the logs of a service's tasks, and of each further one as it is placed, until the service is gone."""
    selection = _selection(output.options)
    known = set(_placed(tasks))
    async with manager.store.watch() as watch, asyncio.TaskGroup() as copies:
        copies.create_task(output.copy(sorted(known), selection))
        while service_id in manager.store.state.services:
            try:
                placed = _placed(_changed_tasks(await anext(watch), service_id))
            except WatchLaggedError:
                placed = _placed(manager.store.state.tasks_of_service(service_id))
            for task_id in placed:
                if task_id not in known:
                    copies.create_task(output.copy([task_id], replace(selection, tail=-1)))
            known |= set(placed)
            known &= {task.id for task in manager.store.state.tasks_of_service(service_id)}


def _changed_tasks(committed: Committed, service_id: str) -> list[Task]:
    news = (item.new for item in committed.changed)
    return [item for item in news if isinstance(item, Task) and item.service_id == service_id]


def _placed(tasks: Iterable[Task]) -> list[str]:
    """Those that have a node: the others cannot have written anything."""
    return [task.id for task in tasks if task.node_id]


def _selection(options: LogOptions) -> LogSelection:
    return LogSelection(
        follow=options.follow,
        stdout=options.stdout,
        stderr=options.stderr,
        since=options.since,
        until=options.until,
        tail=options.tail,
    )
