"""The local engine: containers from image, volumes, network and process, level-triggered across restarts."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from common.clock import Clock
from common.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    NotImplementedHereError,
    SwarmdError,
    SystemFailureError,
)
from common.events import EventLog
from common.ids import IdSource
from common.keeper import Keeper
from worker.containers.feed import Feed
from worker.containers.files import ContainerFile
from worker.containers.health_monitor import HealthMonitor
from worker.containers.log_lines import LogQuery, LogRecord
from worker.containers.logs import LogReader
from worker.containers.record import (
    Container,
    ContainerConfig,
    ContainerState,
    Health,
    HealthStatus,
)
from worker.containers.recovery import (
    Adopt,
    AskForEnd,
    after_absence,
    after_exit,
    recovery_of,
)
from worker.containers.settle import check_files, container_of, log_options_of
from worker.containers.signals import signal_number
from worker.containers.workshop import Machinery, Workshop
from worker.network.attachment import Attachment
from worker.runtime.bundle import Exit, RunLease

log = logging.getLogger("swarmd.containers")

KILL_WAIT_SECONDS = 15.0
"""How long processes may take to die of SIGKILL before that is an error (one may hang in the kernel)."""
END_KNOWN_SECONDS = 5.0
"""How long the runtime may take to tell an end that it has on record."""
WATCH_RETRY_SECONDS = 1.0
START_FAILED_CODE = 127
_SIGKILL = 9
_ENDED = (ContainerState.EXITED, ContainerState.DEAD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Time, chance and listeners."""

    clock: Clock
    events: EventLog
    new_id: IdSource
    """Draws container ids (``common.ids.container_id_source``)."""


@dataclass(slots=True, eq=False)
class _Live:
    """A container in this process: its value, and who looks after it."""

    container: Container
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by whoever starts or removes it."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    watcher: asyncio.Task[None] | None = None
    health: asyncio.Task[None] | None = None


class LocalEngine:
    """Implements ``worker.agent.ports.Containers``. Use it as an async context manager: entering recovers.

    A change of a container is on disk before anyone sees it. Leaving the context stops no container.
    """

    def __init__(
        self, data_root: str, exec_root: str, machinery: Machinery, surroundings: Surroundings
    ) -> None:
        self._workshop = Workshop(data_root, exec_root, machinery)
        self._runtime, self._images = machinery.runtime, machinery.images
        self._clock, self._events = surroundings.clock, surroundings.events
        self._new_id = surroundings.new_id
        self._live: dict[str, _Live] = {}
        self._names: dict[str, str] = {}
        self._making: dict[str, asyncio.Event] = {}  # names of containers that are being made
        self._feed = Feed()
        self._keeper = Keeper()

    async def __aenter__(self) -> Self:
        await self._keeper.open()
        try:
            await self._recover()
        except BaseException as error:
            await self._keeper.close(error)
            raise
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self._keeper.close(error)

    # -------------------------------------------------------------------------------- looking

    def get(self, container_id: str) -> Container | None:
        """How it stands now."""
        live = self._live.get(container_id)
        return live.container if live else None

    def find(self, reference: str) -> Container:
        """By full id, then name, then unique beginning of an id.

        Raises:
            NotFoundError: "No such container: x".
            InvalidInputError: the beginning of several ids.
        """
        exact = self._live.get(reference) or self._live.get(
            self._names.get(reference.removeprefix("/"), "")
        )
        if exact is not None:
            return exact.container
        matching = [key for key in self._live if reference and key.startswith(reference)]
        if len(matching) > 1:
            raise InvalidInputError(f"multiple IDs found with provided prefix: {reference}")
        if not matching:
            raise NotFoundError(f"No such container: {reference}")
        return self._live[matching[0]].container

    def all(self) -> Sequence[Container]:
        """All containers of this node, the newest first."""
        containers = [live.container for live in self._live.values()]
        return sorted(containers, key=lambda item: (-item.created_at, item.id))

    def changed(self) -> AsyncIterator[Container]:
        """Each container whenever its state or health changes; slow readers get only the latest of each."""
        return self._feed.subscribe()

    def log_path(self, container_id: str) -> str:
        """The file that its output goes to, "" when it is thrown away.

        Raises:
            NotFoundError: there is no such container.
        """
        driver = self._get(container_id).container.config.log_driver
        return log_options_of(driver, path=self._workshop.places(container_id).log).path

    def logs(self, container_id: str, query: LogQuery) -> AsyncGenerator[LogRecord, None]:
        """Lines of its log, oldest first; with ``follow`` until it has ended and been read to the end.

        Raises:
            NotFoundError: there is no such container.
            NotImplementedHereError: its log driver keeps nothing.
        """
        path = self.log_path(container_id)
        if not path:
            raise NotImplementedHereError("configured logging driver does not support reading")
        has_ended = lambda: self._has_ended(container_id)  # noqa: E731
        return LogReader(path, query, self._clock, has_ended=has_ended).read()

    def _has_ended(self, container_id: str) -> bool:
        container = self.get(container_id)
        return container is None or container.state in _ENDED

    # ------------------------------------------------------------------------------- creating

    async def create(self, config: ContainerConfig) -> Container:
        """Makes a container ready to start. The same name with the same task again gives the one that exists.

        Raises:
            ConflictError: the name is another container's.
            NotFoundError: "No such image: x:1".
            InvalidInputError: the spec asks for something that cannot be.
            SystemFailureError: the machine refused; nothing is left of it.
        """
        return await self._keeper.finish(self._create(config))

    def _same_task(self, container_id: str, config: ContainerConfig) -> Container:
        existing = self._live[container_id].container
        if config.task_id and existing.config.task_id == config.task_id:
            return existing
        raise ConflictError(
            f'Conflict. The container name "/{config.name}" is already in use by container '
            f'"{container_id}". You have to remove (or rename) that container to be able to reuse that name.'
        )

    async def _create(self, config: ContainerConfig) -> Container:
        while (making := self._making.get(config.name)) is not None:
            await making.wait()  # whoever began it may have been cancelled; it goes on all the same
        existing = self._names.get(config.name)
        if existing is not None:
            return self._same_task(existing, config)
        image = self._images.resolve(config.spec.image)
        wanted = container_of(config, image, container_id=self._new_id(), now=self._clock.now())
        made = self._making[config.name] = asyncio.Event()
        try:
            container = await self._workshop.make(wanted, image)
        finally:
            del self._making[config.name]
            made.set()
        self._names[config.name] = container.id
        self._live[container.id] = _Live(container)
        self._tell(container, "create")
        self._feed.tell(container)
        return container

    # ------------------------------------------------------------------------------- starting

    async def start(self, container_id: str, files: Sequence[ContainerFile] = ()) -> Container:
        """Runs it, with one of ``files`` for each secret and config of its spec; one that runs stays as it is.

        Raises:
            NotFoundError: there is no such container.
            InvalidInputError: its program cannot run, or a file is missing.
            SystemFailureError: the machine refused.
        """
        return await self._keeper.finish(self._start(self._get(container_id), files))

    async def _start(self, live: _Live, files: Sequence[ContainerFile]) -> Container:
        async with live.lock:
            if live is not self._live.get(live.container.id):
                raise NotFoundError(f"No such container: {live.container.id}")
            if live.container.state is ContainerState.RUNNING:
                return live.container
            check_files(live.container.config.spec, files)
            await _done(live.watcher)
            image = self._images.resolve(live.container.image_id)
            sandbox = await self._workshop.attach(live.container)
            attachment = sandbox.attachment if sandbox else None
            starting = _starting(live.container, attachment, now=self._clock.now())
            try:
                pid = await self._workshop.run(starting, image, sandbox, files)
            except SwarmdError as error:
                await self._start_failed(live, starting, error)
                raise
            self._update(live, replace(starting, state=ContainerState.RUNNING, pid=pid))
            self._look_after(live)
            self._tell(live.container, "start")
            return live.container

    async def _start_failed(self, live: _Live, starting: Container, error: SwarmdError) -> None:
        failed = replace(
            starting,
            started_at=0.0,
            exit_code=START_FAILED_CODE,
            error=error.message,
            attachment=Attachment(network=starting.config.network),
            health=HealthStatus(),
        )
        self._update(live, failed)
        await self._put_down_or_log(live.container.id)

    async def _put_down_or_log(self, container_id: str) -> None:
        try:
            await self._workshop.put_down(container_id)
        except SwarmdError:  # removing the container tries again
            log.exception("a container is not put down in full", extra={"container": container_id})

    # ------------------------------------------------------------------- while it runs, and its end

    def _look_after(self, live: _Live) -> None:
        live.ended = asyncio.Event()
        live.watcher = self._keeper.spawn(self._watch(live))
        config = live.container.healthcheck
        if config is not None:
            monitor = HealthMonitor(
                live.container.id,
                config,
                self._runtime,
                self._clock,
                current=lambda: live.container,
                report=lambda status: self._report_health(live, status),
            )
            live.health = self._keeper.spawn(monitor.run())

    def _report_health(self, live: _Live, status: HealthStatus) -> None:
        if live.container.state is not ContainerState.RUNNING:
            return
        before, container = live.container.health.state, replace(live.container, health=status)
        if status.state is before:
            live.container = container  # only the log of probes: not worth the disk
            return
        try:
            self._update(live, container)
        except SystemFailureError:  # the next probe tries again
            log.exception("health is not recorded", extra={"container": container.id})
            return
        self._tell(container, f"health_status: {status.state.value}")

    async def _watch(self, live: _Live) -> None:
        """Waits for a container's end and records it."""
        ended = await self._wait_exit(live.container.id)
        if live.health is not None:
            live.health.cancel()
            live.health = None
        await self._insist(lambda: self._update(live, after_exit(live.container, ended)))
        self._tell_end(live.container)
        live.ended.set()
        await self._put_down_or_log(live.container.id)

    async def _wait_exit(self, container_id: str) -> Exit:
        while True:
            with suppress(SwarmdError):
                return await self._runtime.wait(container_id)
            log.warning("lost sight of a container", extra={"container": container_id})
            await self._clock.sleep(WATCH_RETRY_SECONDS)
            with suppress(SwarmdError):
                if container_id not in await self._runtime.running():
                    known = await self._known_end(container_id)
                    gone = after_absence(
                        self._live[container_id].container, known, now=self._clock.now()
                    )
                    return Exit(
                        id=container_id,
                        code=gone.exit_code,
                        oom_killed=gone.oom_killed,
                        at=gone.finished_at,
                    )

    async def _insist(self, work: Callable[[], None]) -> None:
        """Does what must not be left undone, as often as the disk needs it."""
        while True:
            try:
                work()
            except SystemFailureError:
                log.exception("the end of a container is not recorded yet")
                await self._clock.sleep(WATCH_RETRY_SECONDS)
            else:
                return

    # ------------------------------------------------------------------------------- stopping

    async def stop(self, container_id: str, *, grace_seconds: float) -> Container:
        """Stop signal, then SIGKILL to all of it after the grace. Returns when it has ended; ended already is fine.

        Raises:
            NotFoundError: there is no such container.
            SystemFailureError: it does not die.
        """
        live = self._get(container_id)
        async with live.lock:  # a start under way comes to its end first
            running = live.container.state is ContainerState.RUNNING
        if running:
            number = signal_number(live.container.stop_signal)
            await self._runtime.signal(container_id, number)
            self._tell(live.container, "kill", signal=str(number))
            if not await self._ends_within(live, grace_seconds):
                await self._kill(live)
            self._tell(live.container, "stop")
        return live.container

    async def let_run_until(self, moments: Mapping[str, tuple[float, float]]) -> None:
        """Has containers stopped, and killed, at these moments since the machine's start, also without this process."""
        leases = [
            RunLease(
                id=container_id,
                stop_signal=signal_number(live.container.stop_signal),
                stop_at=stop_at,
                kill_at=kill_at,
            )
            for container_id, (stop_at, kill_at) in moments.items()
            if (live := self._live.get(container_id)) is not None
        ]
        if leases:
            await self._runtime.lease(leases)

    async def _kill(self, live: _Live) -> None:
        await self._runtime.kill(live.container.id)
        self._tell(live.container, "kill", signal=str(_SIGKILL))
        if not await self._ends_within(live, KILL_WAIT_SECONDS):
            raise SystemFailureError(
                f"container {live.container.id} was killed but does not end",
                hint="a process of it may hang in the kernel, waiting for a disk or a network file system",
            )

    async def _ends_within(self, live: _Live, seconds: float) -> bool:
        """Waits for the end, at most so long by the engine's clock."""
        if not live.ended.is_set() and seconds > 0:
            async with asyncio.TaskGroup() as group:
                ending = group.create_task(live.ended.wait())
                timer = group.create_task(self._clock.sleep(seconds))
                await asyncio.wait((ending, timer), return_when=asyncio.FIRST_COMPLETED)
                ending.cancel()
                timer.cancel()
        return live.ended.is_set()

    # ------------------------------------------------------------------------------- removing

    async def remove(self, container_id: str) -> None:
        """Takes away everything of it but named volumes; one that is gone already is fine. Kills it if it runs.

        Raises:
            SystemFailureError: it does not die, or the machine refused; it is ``dead`` then and may be removed again.
        """
        live = self._live.get(container_id)
        if live is not None:
            await self._keeper.finish(self._remove(live))

    async def _remove(self, live: _Live) -> None:
        container_id = live.container.id
        async with live.lock:
            if self._live.get(container_id) is not live:
                return
            if live.container.state is ContainerState.RUNNING:
                await self._kill(live)
            await _done(live.watcher)
            try:
                await self._workshop.put_down(container_id)
                await self._workshop.unmake(container_id)
            except SwarmdError as error:
                self._die(live, error)
                raise
            del self._live[container_id]
            del self._names[live.container.config.name]
            self._tell(live.container, "destroy")

    def _die(self, live: _Live, error: SwarmdError) -> None:
        """What could not be removed in full is dead, on disk too if the disk lets us."""
        live.container = replace(live.container, state=ContainerState.DEAD, error=error.message)
        with suppress(SystemFailureError):
            self._workshop.records.write(live.container)
        self._feed.tell(live.container)

    # -------------------------------------------------------------------------------- recovery

    async def _recover(self) -> None:
        """Compares the records with what runs, and goes on from there."""
        containers = await asyncio.to_thread(self._workshop.records.open)
        for container in containers:
            self._workshop.hold(container)
            self._names[container.config.name] = container.id
            self._live[container.id] = _Live(container)
        running = await self._runtime.running()
        for stray in sorted(running - self._live.keys()):
            await self._end_stray(stray)
        for live in self._live.values():
            await self._recover_one(live, is_running=live.container.id in running)
        await self._workshop.tidy(
            [key for key, live in self._live.items() if live.watcher is not None]
        )

    async def _recover_one(self, live: _Live, *, is_running: bool) -> None:
        match recovery_of(live.container, is_running=is_running):
            case Adopt(container=container):
                self._update(live, container)
                self._look_after(live)
            case AskForEnd():
                await self._recover_end(live)
            case _:
                pass

    async def _recover_end(self, live: _Live) -> None:
        try:
            ended = await self._known_end(live.container.id)
        except TimeoutError:  # it was just being started
            self._update(live, replace(live.container, state=ContainerState.RUNNING))
            self._look_after(live)
            return
        self._update(live, after_absence(live.container, ended, now=self._clock.now()))
        if live.container.state in _ENDED:
            live.ended.set()
            self._tell_end(live.container)
        await self._put_down_or_log(live.container.id)

    async def _known_end(self, container_id: str) -> Exit | None:
        """How a container that runs no more has ended; None when the runtime never heard of it."""
        try:
            async with asyncio.timeout(END_KNOWN_SECONDS):
                return await self._runtime.wait(container_id)
        except NotFoundError:
            return None

    async def _end_stray(self, container_id: str) -> None:
        """Ends a container that has no record: its making was cut off."""
        log.warning("ending a container without a record", extra={"container": container_id})
        await self._runtime.kill(container_id)
        await self._known_end(container_id)
        await self._put_down_or_log(container_id)

    # --------------------------------------------------------------------------------- inner parts

    def _get(self, container_id: str) -> _Live:
        live = self._live.get(container_id)
        if live is None:
            raise NotFoundError(f"No such container: {container_id}")
        return live

    def _update(self, live: _Live, container: Container) -> None:
        """A new value: on disk first, then for everyone."""
        self._workshop.records.write(container)
        live.container = container
        self._feed.tell(container)

    def _tell_end(self, container: Container) -> None:
        if container.oom_killed:
            self._tell(container, "oom")
        duration = str(int(container.finished_at - container.started_at))
        self._tell(container, "die", exitCode=str(container.exit_code), execDuration=duration)

    def _tell(self, container: Container, action: str, **attributes: str) -> None:
        config = container.config
        known = {"image": config.spec.image, "name": config.name}
        self._events.tell(
            "container", action, container.id, {**config.labels, **known, **attributes}
        )


def _starting(container: Container, attachment: Attachment | None, *, now: float) -> Container:
    """The record of a start under way: created, with a start time."""
    health = Health.STARTING if container.healthcheck else Health.NONE
    return replace(
        container,
        state=ContainerState.CREATED,
        pid=0,
        started_at=now,
        finished_at=0.0,
        exit_code=0,
        oom_killed=False,
        error="",
        attachment=attachment or Attachment(network=container.config.network),
        health=HealthStatus(state=health),
    )


async def _done(task: "asyncio.Task[None] | None") -> None:
    if task is not None:
        await asyncio.wait([task])
