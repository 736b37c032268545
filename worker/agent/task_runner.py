"""One task of this node, carried from what is to what should be, a step at a time."""

import asyncio
import logging
import random  # noqa: TID251 - only named as a type
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from common.clock import Clock
from common.disconnect import is_leased
from common.errors import ConflictError, SwarmdError, UnavailableError
from common.model.container_spec import ContainerSpec
from common.model.endpoint import PortConfig, PublishMode
from common.model.node import NodeDescription
from common.model.task import PortStatus, Task, TaskState, TaskStatus
from worker.agent.container_of import container_of, facts_of
from worker.agent.lease import Lease
from worker.agent.memory import Memory
from worker.agent.payloads import Payloads
from worker.agent.port_table import PortTable
from worker.agent.ports import Containers
from worker.agent.published import LiveTask
from worker.agent.task_machine import (
    Become,
    Create,
    Fault,
    Gone,
    Remove,
    Situation,
    Start,
    Step,
    Stop,
    Wait,
    decide,
    is_failing,
    is_final,
)
from worker.balancer.table import Backend
from worker.containers.files import ContainerFile
from worker.containers.record import Container, ContainerState

WORK_AT_ONCE: Final = 16
"""Containers being made or started at the same time on one node."""
DRAIN_SECONDS_MAX: Final = 2.0
"""How long connections under way to a task may hold up its stop signal; Docker always waits this long."""
DYNAMIC_PORTS: Final = range(32_768, 61_000)
"""Ports of the host for ``mode=host`` without a published port: Linux's ephemeral range, as Docker's."""
DYNAMIC_PORT_ATTEMPTS_MAX: Final = 32
_COMPLAIN_EVERY: Final = 60
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all tasks of a node share."""

    node_id: str
    describe: Callable[[], NodeDescription]
    containers: Containers
    table: PortTable
    memory: Memory
    lease: Lease
    payloads: Callable[[], Payloads]
    """The secrets and configs that this node has now."""
    report: Callable[[str, TaskStatus], None]
    clock: Clock
    chance: random.Random
    hands: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(WORK_AT_ONCE))


class TaskRunner:
    """Asks the machine what comes next, and does it, until nothing is left of the task here."""

    def __init__(
        self,
        task_id: str,
        task: Task | None,
        status: TaskStatus,
        container: Container | None,
        around: Surroundings,
    ) -> None:
        self.task_id = task_id
        self.task = task
        self.status = status
        self._around = around
        self._container_id = container.id if container else ""
        self._ports = _with_given_ports(_ports_of(task) if task else (), status.port_status)
        self._is_stopping = self._is_cut_off = False
        self._fault: Fault | None = None
        self._poked = asyncio.Event()
        self._creating: asyncio.Task[None] | None = None
        self.has_container_or_end = asyncio.Event()
        self._show()

    def change(self, task: Task | None) -> None:
        """Something else is wanted now; None: the manager has forgotten the task."""
        self.task = task
        if self._creating is not None and not self._is_wanted():
            self._creating.cancel()
        self._show()
        self.poke()

    def poke(self) -> None:
        """Something may have changed: look again."""
        self._poked.set()

    @property
    def is_leased(self) -> bool:
        """Whether the task must stop when this node has had no manager for some time."""
        return self.task is not None and is_leased(self.task) and not is_final(self.status)

    def cut_off(self) -> None:
        """The lease has run out, whatever a manager says from now on."""
        self._is_cut_off = True
        self.poke()

    def see(self, container: Container) -> None:
        """The task's container has changed; or it has come to be after nobody waited for it any more."""
        self._container_id = container.id
        self.poke()

    def container(self) -> Container | None:
        """The task's container as it stands now."""
        return self._around.containers.get(self._container_id) if self._container_id else None

    async def run(self) -> None:
        """Goes on until nothing is left of the task here."""
        while True:
            self._poked.clear()
            if self._container_id or is_final(self.status):
                self.has_container_or_end.set()
            match decide(self._situation()):
                case Become(status=status):
                    await self._become(status)
                case Wait(until=until):
                    await self._wait(until)
                case Gone():
                    self._around.table.show(self.task_id, None)
                    return
                case Create() | Start() | Stop() | Remove() as step:
                    await self._attempt(step)

    def _situation(self) -> Situation:
        given = tuple(
            port
            for port in self._ports
            if port.publish_mode is PublishMode.HOST and port.published_port
        )
        return Situation(
            task=self.task,
            status=self.status,
            container=self.container(),
            now=self._around.clock.now(),
            fault=self._fault,
            port_status=PortStatus(ports=given) if given else None,
            is_cut_off=self._is_cut_off or self._around.lease.is_over(self.task),
            may_have_files=not self.has_files
            or self._around.payloads().has_or_never_will(self._spec),
        )

    @property
    def has_files(self) -> bool:
        """Whether the task names secrets or configs."""
        return self._spec is not None and bool(self._spec.secrets or self._spec.configs)

    @property
    def _spec(self) -> ContainerSpec | None:
        return self.task.spec.container_spec if self.task is not None else None

    # ------------------------------------------------------------------------------ outcomes

    async def _become(self, status: TaskStatus) -> None:
        self.status = status
        if self.task is not None and (status.state >= TaskState.RUNNING or status.err):
            remember(self._around.memory, self.task, status)
        self._show()
        if status.state is TaskState.RUNNING and self._ports:
            await self._around.table.settle()  # who hears RUNNING may rely on it being reachable
        self._around.report(self.task_id, status)

    async def _wait(self, until: float | None) -> None:
        if until is None:
            await self._poked.wait()
            return
        async with asyncio.TaskGroup() as group:
            alarm = group.create_task(self._poke_at(until))
            await self._poked.wait()
            alarm.cancel()

    async def _poke_at(self, until: float) -> None:
        await self._around.clock.sleep(until - self._around.clock.now())
        self.poke()

    def _show(self) -> None:
        """Tells the port table how the task fares."""
        if not self._ports:
            return
        container = self.container()
        runs = container is not None and container.state is ContainerState.RUNNING
        live = LiveTask(
            ports=self._ports,
            state=self.status.state,
            is_wanted=runs and self._is_wanted() and not self._is_stopping,
            address=container.attachment.address if container else "",
        )
        self._around.table.show(self.task_id, live)

    def _is_wanted(self) -> bool:
        task = self.task
        return (
            task is not None
            and task.desired_state < TaskState.SHUTDOWN
            and not is_final(task.status)
            and not is_failing(self.status)
        )

    # --------------------------------------------------------------------------------- steps

    async def _attempt(self, step: Step) -> None:
        """Does one step. Making a container ends early when the task is no longer wanted."""
        async with asyncio.TaskGroup() as group:
            doing = group.create_task(self._do(step))
            self._creating = doing if isinstance(step, Create) else None
        self._creating = None
        if isinstance(step, Create) and not self._container_id:
            self._container_id = self._find_container()

    async def _do(self, step: Step) -> None:
        try:
            await self._perform(step)
        except (SwarmdError, OSError) as error:
            self._note(step, str(error), temporary=isinstance(error, UnavailableError))
        except Exception as error:  # noqa: BLE001 - a mistake in one task's step must not end the others
            _log.exception("task %s: %s failed", self.task_id, type(step).__name__)
            self._note(step, f"internal error: {error!r}", temporary=False)
        else:
            self._fault = None

    async def _perform(self, step: Step) -> None:
        containers = self._around.containers
        match step:
            case Create():
                async with self._around.hands:
                    await self._create()
            case Start(container_id=container_id):
                async with self._around.hands:
                    await self._start(container_id)
            case Stop(container_id=container_id, grace_seconds=grace_seconds):
                lease = self._around.lease
                await self._leave_the_ports(lease.grace_seconds(self.task, grace_seconds))
                left = lease.grace_seconds(self.task, grace_seconds)
                await containers.stop(container_id, grace_seconds=left)
            case Remove(container_id=container_id):
                await containers.remove(container_id)
                self._container_id = ""

    def _files(self) -> tuple[ContainerFile, ...]:
        task, spec = self.task, self._spec
        if task is None or spec is None or not self.has_files:
            return ()
        facts = facts_of(task, self._around.node_id, self._around.describe())
        return self._around.payloads().files_of(spec, facts)

    async def _leave_the_ports(self, grace_seconds: float) -> None:
        """New connections go elsewhere; those under way get a while to come to their end."""
        self._is_stopping = True
        self._show()
        container = self.container()
        if not self._ports or container is None:
            return
        address = container.attachment.address
        backends = {Backend(address=address, port=port.target_port) for port in self._ports}
        limit_seconds = min(DRAIN_SECONDS_MAX, grace_seconds)
        await self._around.table.drain(backends if address else (), limit_seconds=limit_seconds)

    async def _start(self, container_id: str) -> None:
        lease, containers = self._around.lease, self._around.containers
        if self._is_cut_off or lease.is_over(self.task):  # it may have waited for long
            return
        limits = lease.limits(self.task)
        if limits is not None:
            await containers.let_run_until({container_id: limits})
        await containers.start(container_id, self._files())

    async def _create(self) -> None:
        if self.task is None:
            return
        around = self._around
        config = container_of(self.task, around.node_id, around.describe())
        await self._reserve_ports()
        container = await around.containers.create(config)
        self._container_id = container.id

    async def _reserve_ports(self) -> None:
        fixed = [port for port in self._ports if port.published_port]
        if fixed:
            await self._around.table.reserve(fixed)
        for place, port in enumerate(self._ports):
            if not port.published_port and port.publish_mode is PublishMode.HOST:
                given = await self._reserve_any(port)
                self._ports = (*self._ports[:place], given, *self._ports[place + 1 :])
                self._show()

    async def _reserve_any(self, port: PortConfig) -> PortConfig:
        for _ in range(DYNAMIC_PORT_ATTEMPTS_MAX):
            tried = replace(port, published_port=self._around.chance.choice(DYNAMIC_PORTS))
            if self._around.table.is_held(tried):
                continue
            try:
                await self._around.table.reserve([tried])
            except ConflictError:
                continue
            return tried
        raise ConflictError(f"no free port of the host was found for {port.target_port}")

    def _find_container(self) -> str:
        """The container that a step which did not get to its end may have left."""
        mine = (
            container.id
            for container in self._around.containers.all()
            if container.config.task_id == self.task_id
        )
        return next(mine, "")

    def _note(self, step: Step, error: str, *, temporary: bool) -> None:
        before = self._fault
        attempts = before.attempts + 1 if before is not None and before.step == step else 1
        if attempts % _COMPLAIN_EVERY == 1:
            _log.warning("task %s: %s: %s", self.task_id, type(step).__name__, error)
        self._fault = Fault(
            step=step,
            error=f"starting container failed: {error}" if isinstance(step, Start) else error,
            temporary=temporary,
            at=self._around.clock.now(),
            attempts=attempts,
        )


def remember(memory: Memory, task: Task, status: TaskStatus) -> None:
    """Writes a task down. A full disk does not stop it: only a restart without any manager would miss it."""
    try:
        memory.save(task, status)
    except OSError:
        _log.exception("task %s cannot be remembered on disk", task.id)


def _ports_of(task: Task) -> tuple[PortConfig, ...]:
    """The ports to publish: none for a task that has the host's own network, as in Docker."""
    on_host = any(network.target == "host" for network in task.spec.networks)
    return () if on_host else task.ports


def _with_given_ports(
    ports: tuple[PortConfig, ...], status: PortStatus | None
) -> tuple[PortConfig, ...]:
    """The task's ports, those of the host that an earlier agent chose filled in."""
    given = list(status.ports) if status else []
    result = []
    for port in ports:
        same = (one for one in given if replace(one, published_port=port.published_port) == port)
        known = next(same, None)
        if known is not None and not port.published_port:
            given.remove(known)
            result.append(known)
        else:
            result.append(port)
    return tuple(result)
