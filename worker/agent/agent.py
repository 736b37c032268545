"""The agent of one node: has its tasks run as a manager last said, with or without any manager."""

import asyncio
import logging
import random  # noqa: TID251 - only named as a type
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Never

from common.bell import Bell
from common.clock import BootClock, Clock, SystemBootClock
from common.errors import SwarmdError
from common.model.node import NodeDescription
from common.model.task import Task, TaskState, TaskStatus
from worker.agent.decide import decide
from worker.agent.inbox import Inbox
from worker.agent.lease import LOOK_SECONDS, Lease, lease_file
from worker.agent.memory import Memory
from worker.agent.payloads import Payloads
from worker.agent.port_table import PortTable
from worker.agent.ports import Containers, PublishedPorts
from worker.agent.reporter import Reporter
from worker.agent.session import Connect, SessionKeeper, SessionNeeds
from worker.agent.task_runner import Surroundings, TaskRunner, remember
from worker.containers.record import Container

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The rest of the node, as its agent uses it."""

    containers: Containers
    ports: PublishedPorts
    describe: Callable[[], NodeDescription]
    description_changed: Bell
    """Rung when the managers are to be told at once."""
    memory: Path
    """The file where assignments are kept: ``<data-root>/agent/assignments``; the lease is beside it."""
    clock: Clock
    chance: random.Random
    boot_clock: BootClock = field(default_factory=SystemBootClock)


class Agent:
    """Runs this node's tasks. Cancelling ``run`` leaves every container as it is; a new agent goes on with them."""

    def __init__(self, node_id: str, connect: Connect, machine: Machine) -> None:
        self._machine = machine
        self._memory = Memory(machine.memory)
        self._lease = Lease(lease_file(machine.memory), machine.boot_clock)
        self._lease.before_renewal = self._cut_off_what_is_over
        self._limits: Mapping[str, tuple[float, float]] = {}
        self._leased = asyncio.Event()  # some task must stop when no manager answers for some time
        self._table = PortTable(machine.ports, machine.clock)
        self._reporter = Reporter()
        self._runners: dict[str, TaskRunner] = {}
        self._running: asyncio.TaskGroup | None = None
        self._payloads = Payloads()
        self._knows_all = False  # a manager has told everything: what has no runner is a stray
        self._around = Surroundings(
            node_id=node_id,
            describe=machine.describe,
            containers=machine.containers,
            table=self._table,
            memory=self._memory,
            lease=self._lease,
            payloads=lambda: self._payloads,
            report=self._reporter.put,
            clock=machine.clock,
            chance=machine.chance,
        )
        self._session_needs = SessionNeeds(
            node_id=node_id,
            connect=connect,
            describe=machine.describe,
            description_changed=machine.description_changed,
            containers=machine.containers,
            reporter=self._reporter,
            lease=self._lease,
            clock=machine.clock,
            chance=machine.chance,
        )

    async def run(self) -> Never:
        """Takes up the tasks remembered, and from then on does what the managers say."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow_containers())
                await asyncio.sleep(0)  # from here on every change of a container is seen
                self._running = group
                inbox = Inbox(tasks=self._take_up())
                group.create_task(self._table.run())
                group.create_task(self._end_leases())
                group.create_task(SessionKeeper(self._session_needs, self, inbox).run())
        finally:
            self._memory.close()
        raise AssertionError("unreachable")

    def _take_up(self) -> Mapping[str, Task]:
        """Goes on with the tasks of an earlier agent, without asking anyone."""
        remembered = self._memory.load()
        self._lease.load()
        present = self._containers_of_tasks()
        for entry in remembered:
            task = entry.task
            self._begin(task.id, task, entry.status, present.get(task.id))
        return {entry.task.id: entry.task for entry in remembered}

    async def _end_leases(self) -> Never:
        """Wakes the tasks whose lease has run out, and keeps written down since when it counts."""
        while True:
            await self._leased.wait()
            self._lease.save()
            await self._tell_limits()
            leased = [runner for runner in self._runners.values() if runner.is_leased]
            self._cut_off_what_is_over()
            if leased:
                await self._machine.clock.sleep(LOOK_SECONDS)
            else:
                self._leased.clear()

    def _cut_off_what_is_over(self) -> None:
        for runner in self._runners.values():
            if runner.is_leased and self._lease.is_over(runner.task):
                runner.cut_off()

    async def _tell_limits(self) -> None:
        """The supervisor ends the tasks should this process not be there to do it."""
        limits = {
            container.id: limit
            for runner in self._runners.values()
            if runner.is_leased
            and (container := runner.container()) is not None
            and (limit := self._lease.limits(runner.task)) is not None
        }
        if limits == self._limits:
            return
        try:
            await self._machine.containers.let_run_until(limits)
        except (SwarmdError, OSError) as error:
            _log.warning("tasks would not be stopped if this process ended: %s", error)
            return
        self._limits = limits

    async def _follow_containers(self) -> Never:
        async for container in self._machine.containers.changed():
            task_id = container.config.task_id
            if task_id in self._runners:
                self._runners[task_id].see(container)
            elif task_id and self._knows_all and self._exists(container):
                self._begin(task_id, None, TaskStatus(), container)
        raise AssertionError("the engine stopped telling of its containers")

    def _exists(self, container: Container) -> bool:
        return self._machine.containers.get(container.id) is not None

    # ------------------------------------------------------------------------ for the session

    def assign(self, inbox: Inbox) -> None:
        """Compares what this node should have with what it has, and sets to work."""
        self._knows_all = inbox.is_complete
        self._payloads = Payloads(
            secrets=inbox.secrets, configs=inbox.configs, is_told=inbox.is_complete
        )
        for runner in self._runners.values():
            if runner.has_files:  # it may have waited for some
                runner.poke()
        known = {task_id: runner.task for task_id, runner in self._runners.items()}
        present = self._containers_of_tasks()
        plan = decide(inbox.tasks, known, present.values(), is_complete=inbox.is_complete)
        for task in plan.begin:
            remember(self._memory, task, task.status)
            self._begin(task.id, task, task.status, present.get(task.id))
        for task in plan.change:
            runner = self._runners[task.id]
            remember(self._memory, task, runner.status)
            runner.change(task)
        for task_id in plan.forget:
            self._reporter.forget(task_id)
            self._runners[task_id].change(None)
        for container in plan.strays:
            self._begin(container.config.task_id, None, TaskStatus(), container)

    def statuses(self) -> Mapping[str, TaskStatus]:
        """What this agent has seen of each task that a manager knows."""
        return {
            task_id: runner.status
            for task_id, runner in self._runners.items()
            if runner.task is not None and runner.status.state >= TaskState.ACCEPTED
        }

    async def find_container(self, task_id: str, wait: bool) -> str | None:  # noqa: FBT001 - a plain callable
        """The container of a task; ``wait`` waits until there is one or there will be none."""
        runner = self._runners.get(task_id)
        if runner is None:
            return None
        if wait:
            await runner.has_container_or_end.wait()
        container = runner.container()
        return container.id if container else None

    # ---------------------------------------------------------------------------------- tasks

    def _begin(
        self, task_id: str, task: Task | None, status: TaskStatus, container: Container | None
    ) -> None:
        assert self._running is not None  # noqa: S101 - only reached from within run()
        runner = TaskRunner(task_id, task, status, container, self._around)
        self._runners[task_id] = runner
        if runner.is_leased:
            self._leased.set()
        self._running.create_task(self._run(runner))

    async def _run(self, runner: TaskRunner) -> None:
        await runner.run()
        del self._runners[runner.task_id]
        try:
            self._memory.forget(runner.task_id)
        except OSError:
            _log.exception("task %s cannot be forgotten on disk", runner.task_id)

    def _containers_of_tasks(self) -> dict[str, Container]:
        return {
            container.config.task_id: container
            for container in self._machine.containers.all()
            if container.config.task_id
        }
