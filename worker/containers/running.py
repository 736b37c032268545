"""The runs of containers: each is started, looked after, and its end decides what comes next."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from common.errors import ConflictError, NotFoundError, SwarmdError, SystemFailureError
from common.keeper import Keeper
from worker.containers.exit_codes import of_failed_start
from worker.containers.files import ContainerFile
from worker.containers.health_monitor import HealthMonitor, Means
from worker.containers.record import Container, ContainerState, Health, HealthStatus
from worker.containers.recovery import after_absence, after_exit
from worker.containers.register import Live, Register
from worker.containers.resources import check_joined, hosts_of
from worker.containers.restart_policy import restart_of, wait_seconds
from worker.containers.settle import check_files
from worker.containers.workshop import Machinery, Workshop
from worker.network.attachment import Attachment
from worker.runtime.bundle import Exit

log = logging.getLogger("swarmd.containers")

END_KNOWN_SECONDS = 5.0
"""How long the runtime may take to tell an end that it has on record."""
WATCH_RETRY_SECONDS = 1.0
STARTS_AT_A_TIME = 16
"""Of containers that start again of themselves, as all do after a reboot."""


class Running:
    """Starts containers and sees their runs through to what follows."""

    def __init__(
        self, register: Register, workshop: Workshop, machinery: Machinery, keeper: Keeper
    ) -> None:
        self._register, self._workshop, self._keeper = register, workshop, keeper
        self._runtime, self._images = machinery.runtime, machinery.images
        self._means = Means(runtime=machinery.runtime, network=machinery.network_probe)
        self._clock = register.clock
        self._places = asyncio.Semaphore(STARTS_AT_A_TIME)
        self.remove: Callable[[Live], Awaitable[None]] | None = None
        """Takes one away that is to go after its end."""

    # ------------------------------------------------------------------------------- starting

    async def start(
        self, live: Live, files: Sequence[ContainerFile], *, at_once: bool = False
    ) -> Container:
        """Runs it because somebody asked for it; one that runs stays as it is.

        One that waits for its next start goes on waiting, unless it is to start ``at_once``.

        Raises:
            NotFoundError: it was removed meanwhile.
            ConflictError: it is paused, or half removed.
            InvalidInputError: its program cannot run, or a file is missing.
            SystemFailureError: the machine refused.
        """
        async with live.lock:
            if not self._register.is_here(live):
                raise NotFoundError(f"No such container: {live.container.id}")
            _check_startable(live.container)
            if live.has_process or (live.is_active and not at_once):
                return live.container
            live.forget_restart()
            afresh = replace(
                live.container, restart_count=0, restart_delay_seconds=0.0, is_stopped_by_user=False
            )
            try:
                await self._run(live, afresh, files)
                await self._register.flush(live)
            except SwarmdError:
                self._remove_after_end(live)
                raise
            return live.container

    async def restart(self, live: Live, stop: Callable[[], Awaitable[object]]) -> Container:
        """Stops it and starts it; nothing else follows from that end.

        Raises:
            SwarmdError: as of ``stop`` and ``start``.
        """
        live.ends_by_hand += 1
        live.restarts_by_hand += 1
        try:
            await stop()
            await _done(live.watcher)
        finally:
            live.ends_by_hand -= 1
            live.restarts_by_hand -= 1
        container = await self.start(live, (), at_once=True)
        self._register.tell(container, "restart")
        return container

    async def _run(self, live: Live, container: Container, files: Sequence[ContainerFile]) -> None:
        """One start, the lock held.

        Raises:
            SwarmdError: it does not run, and its record says why.
        """
        check_files(container.config.spec, files)
        for kind, joined_id in hosts_of(container.config).items():
            other = self._register.get(joined_id)
            check_joined(kind, joined_id, other.container if other else None)
        await _done(live.watcher)
        image = self._images.resolve(container.image_id)
        sandbox = await self._workshop.attach(container)
        attachment = sandbox.attachment if sandbox else None
        starting = _starting(container, attachment, now=self._clock.now())
        try:
            starting = replace(starting, ports=await self._workshop.publishing.open(starting))
            pid = await self._workshop.run(starting, image, sandbox, files)
        except SwarmdError as error:
            await self._start_failed(live, starting, error)
            raise
        except Exception as error:
            # A mistake of ours in one container's start must not end the others, nor leave this one half started.
            log.exception("internal error in a start", extra={"container": container.id})
            failure = SystemFailureError(f"internal error: {error!r}")
            await self._start_failed(live, starting, failure)
            raise failure from error
        self._register.update(live, replace(starting, state=ContainerState.RUNNING, pid=pid))
        self.look_after(live)
        self._register.tell(live.container, "start")

    async def _start_failed(self, live: Live, starting: Container, error: SwarmdError) -> None:
        failed = replace(
            starting,
            started_at=0.0,
            exit_code=of_failed_start(error),
            error=error.message,
            attachment=Attachment(network=starting.config.network),
            ports=(),
            health=HealthStatus(),
        )
        self._register.update(live, failed)
        await self.put_down_or_log(live.container.id)

    async def put_down_or_log(self, container_id: str) -> None:
        """Gives back what only a running container needs."""
        try:
            await self._workshop.put_down(container_id)
        except SwarmdError:  # removing the container tries again
            log.exception("a container is not put down in full", extra={"container": container_id})

    # ---------------------------------------------------------------------------- while it runs

    def look_after(self, live: Live) -> None:
        """From now on its end is seen, and its health."""
        live.ended = asyncio.Event()
        live.watcher = self._keeper.spawn(self._watch(live))
        if live.container.state is ContainerState.RUNNING:
            self.watch_health(live)

    def watch_health(self, live: Live) -> None:
        """Probes it, if it has a healthcheck."""
        config = live.container.healthcheck
        if config is None or live.health is not None:
            return
        monitor = HealthMonitor(
            config,
            self._means,
            self._clock,
            current=lambda: live.container,
            report=lambda status: self._report_health(live, status),
        )
        live.health = self._keeper.spawn(monitor.run())

    def leave_health(self, live: Live) -> None:
        """Probes it no more."""
        if live.health is not None:
            live.health.cancel()
            live.health = None

    def _report_health(self, live: Live, status: HealthStatus) -> None:
        if live.container.state is not ContainerState.RUNNING:
            return
        before, container = live.container.health.state, replace(live.container, health=status)
        if status.state is before:
            live.container = container  # only the log of probes: not worth the disk
            return
        try:
            self._register.update(live, container)
        except SystemFailureError:  # the next probe tries again
            log.exception("health is not recorded", extra={"container": container.id})
            return
        self._register.tell(container, f"health_status: {status.state.value}")

    # --------------------------------------------------------------------------------- its end

    async def _watch(self, live: Live) -> None:
        """Waits for a container's end, records it, and has follow what must."""
        ended = await self._wait_exit(live.container.id)
        self.leave_health(live)
        await self._insist(lambda: self.record_end(live, after_exit(live.container, ended)))
        live.ended.set()
        await self.put_down_or_log(live.container.id)
        self.follow_up(live)

    def record_end(self, live: Live, ended: Container) -> None:
        """Its end is on disk together with what its restart policy makes of it.

        Raises:
            SystemFailureError: the disk said no; nothing is decided.
        """
        now = self._clock.now()
        if live.restarts_by_hand and not ended.config.task_id:  # also should this process end first
            after = replace(ended, state=ContainerState.RESTARTING, restart_at=now)
        elif live.ends_by_hand:
            after = ended
        else:
            after = with_restart(ended, now=now)
        self._register.end(live, after)
        if ended.oom_killed:
            self._register.tell(ended, "oom")
        duration = str(int(ended.finished_at - ended.started_at))
        self._register.tell(ended, "die", exitCode=str(ended.exit_code), execDuration=duration)
        live.waits.end(ended)

    def follow_up(self, live: Live) -> None:
        """Starts it again in due time, or takes it away, as its record says."""
        if live.ends_by_hand:
            return
        if live.container.state is ContainerState.RESTARTING:
            live.restart = self._keeper.spawn(self._start_again(live))
        else:
            self._remove_after_end(live)

    def _remove_after_end(self, live: Live) -> None:
        config = live.container.config
        if config.host.auto_remove and not config.task_id and self.remove is not None:
            self._keeper.spawn(self._remove_or_log(live, self.remove))

    async def _remove_or_log(self, live: Live, remove: Callable[[Live], Awaitable[None]]) -> None:
        try:
            await remove(live)
        except SwarmdError:  # it is dead now, and may be removed by hand
            log.exception("a container is not removed", extra={"container": live.container.id})

    async def _start_again(self, live: Live) -> None:
        await self._clock.sleep(wait_seconds(live.container, now=self._clock.now()))
        async with self._places, live.lock:
            live.restart = None
            if live.container.state is not ContainerState.RESTARTING or not self._register.is_here(
                live
            ):
                return
            before = live.container
            try:
                await self._run(live, before, ())
            except SwarmdError as error:  # as an end of its own
                log.warning(
                    "a container does not start again",
                    extra={"container": before.id, "reason": error.message},
                )
                now = self._clock.now()
                failed = replace(live.container, started_at=now, finished_at=now)
                failed = replace(failed, state=ContainerState.EXITED, error=error.message)
                await self._insist(
                    lambda: self._register.update(live, with_restart(failed, now=now))
                )
                live.waits.end(failed)
                self.follow_up(live)

    async def _wait_exit(self, container_id: str) -> Exit:
        while True:
            with suppress(SwarmdError):
                return await self._runtime.wait(container_id)
            log.warning("lost sight of a container", extra={"container": container_id})
            await self._clock.sleep(WATCH_RETRY_SECONDS)
            with suppress(SwarmdError):
                if container_id not in await self._runtime.running():
                    known = await self.known_end(container_id)
                    gone = after_absence(
                        self._register.known(container_id).container, known, now=self._clock.now()
                    )
                    return Exit(
                        id=container_id,
                        code=gone.exit_code,
                        oom_killed=gone.oom_killed,
                        at=gone.finished_at,
                    )

    async def known_end(self, container_id: str) -> Exit | None:
        """How a container that runs no more has ended; None when the runtime never heard of it.

        Raises:
            TimeoutError: it was just being started.
        """
        try:
            async with asyncio.timeout(END_KNOWN_SECONDS):
                return await self._runtime.wait(container_id)
        except NotFoundError:
            return None

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


def with_restart(ended: Container, *, now: float) -> Container:
    """The record of a container that has ended, with what its restart policy makes of that."""
    again = restart_of(ended)
    if again is None:
        return ended
    return replace(
        ended,
        state=ContainerState.RESTARTING,
        restart_count=ended.restart_count + 1,
        restart_delay_seconds=again.after_seconds,
        restart_at=now + again.after_seconds,
    )


def _check_startable(container: Container) -> None:
    if container.state is ContainerState.PAUSED:
        raise ConflictError("cannot start a paused container, try unpause instead")
    if container.state is ContainerState.DEAD:
        raise ConflictError("container is marked for removal and cannot be started")


def _starting(container: Container, attachment: Attachment | None, *, now: float) -> Container:
    """The record of a start under way: created, with a start time."""
    health = Health.STARTING if container.healthcheck else Health.NONE
    return replace(
        container,
        state=ContainerState.CREATED,
        pid=0,
        started_at=now,
        finished_at=0.0,
        restart_at=0.0,
        exit_code=0,
        oom_killed=False,
        error="",
        attachment=attachment or Attachment(network=container.config.network),
        health=HealthStatus(state=health),
    )


async def _done(task: "asyncio.Task[None] | None") -> None:
    if task is not None:
        await asyncio.wait([task])
