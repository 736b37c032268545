"""Ends containers because somebody asks for it, and freezes them."""

import asyncio
from contextlib import suppress
from dataclasses import replace

from common.clock import Clock
from common.errors import ConflictError, NotFoundError, SwarmdError, SystemFailureError
from worker.containers.record import Container, ContainerState
from worker.containers.register import Live, Register
from worker.containers.running import Running
from worker.containers.signals import SIGKILL, signal_number
from worker.containers.workshop import Machinery

KILL_WAIT_SECONDS = 15.0
"""How long processes may take to die of SIGKILL before that is an error (one may hang in the kernel)."""
DEFAULT_GRACE_SECONDS = 10.0


class Ending:
    """Signals, stops, kills, pauses."""

    def __init__(self, register: Register, running: Running, machinery: Machinery) -> None:
        self._register, self._running = register, running
        self._runtime = machinery.runtime
        self._clock: Clock = register.clock

    # ------------------------------------------------------------------------------- stopping

    async def stop(self, live: Live, *, grace_seconds: float | None, signal: str) -> Container:
        """Its stop signal, then SIGKILL to all of it after the grace; not before it has ended does it return.

        A grace below zero is without end. One that waits for its next start has ended by that.

        Raises:
            InvalidInputError: there is no such signal.
            SystemFailureError: it does not die.
        """
        number = signal_number(signal or live.container.stop_signal)
        async with self._register.locked(live):  # a start under way comes to its end first
            await self.remember_wish(live)
            if live.container.state is ContainerState.RESTARTING:
                self._leave_ended(live)
                return live.container
            has_process = live.has_process
        if has_process:
            await self._signal(live, number)
            if not await self._ends_within(live, grace_of(live.container, grace_seconds)):
                await self.kill_all(live)
            self._register.tell(live.container, "stop")
        return live.container

    async def remember_wish(self, live: Live) -> None:
        """Its restart policy leaves it alone from now on, also when this process ends before it does."""
        container = live.container
        if live.ends_by_hand:
            return
        if live.is_active and not container.config.task_id and not container.is_stopped_by_user:
            self._register.update(live, replace(container, is_stopped_by_user=True))
            await self._register.flush(live)

    def _leave_ended(self, live: Live) -> None:
        """Starts it no more, unless somebody does so by hand."""
        live.forget_restart()
        if live.restarts_by_hand:
            return
        ended = replace(live.container, state=ContainerState.EXITED, restart_at=0.0)
        self._register.update(live, ended)
        self._register.tell(ended, "stop")
        live.waits.end(ended)

    async def kill(self, live: Live, signal: str) -> None:
        """Sends a signal; SIGKILL and its stop signal end it for good.

        Raises:
            ConflictError: it does not run.
            InvalidInputError: there is no such signal.
        """
        number = signal_number(signal)
        async with self._register.locked(live):
            if not live.is_active:
                raise not_running(live.container)
            if number in (SIGKILL, signal_number(live.container.stop_signal)):
                await self.remember_wish(live)
                if live.container.state is ContainerState.RESTARTING:
                    self._leave_ended(live)
            has_process = live.has_process
        if has_process:
            await self._signal(live, number)

    async def _signal(self, live: Live, number: int) -> None:
        container_id = live.container.id
        if number == SIGKILL:
            await self._runtime.kill(container_id)
        else:
            await self._runtime.signal(container_id, number)
        self._register.tell(live.container, "kill", signal=str(number))
        if number in (SIGKILL, signal_number(live.container.stop_signal)):
            await self._thaw(live)

    async def _thaw(self, live: Live) -> None:
        """What is frozen does not die: it goes on, so that it meets its signal."""
        async with live.lock:
            await self._let_die(live)

    async def _let_die(self, live: Live) -> None:
        if live.container.state is ContainerState.PAUSED:
            with suppress(NotFoundError):  # it was quicker
                await self._resume(live)

    async def kill_all(self, live: Live) -> None:
        """SIGKILL to all of it, and waits for its end.

        Raises:
            SystemFailureError: it does not die.
        """
        await self._runtime.kill(live.container.id)
        self._register.tell(live.container, "kill", signal=str(SIGKILL))
        await self._let_die(live)
        if not await self._ends_within(live, KILL_WAIT_SECONDS):
            raise SystemFailureError(
                f"container {live.container.id} was killed but does not end",
                hint="a process of it may hang in the kernel, waiting for a disk or a network file system",
            )

    async def _ends_within(self, live: Live, seconds: float) -> bool:
        """Waits for the end, at most so long by the engine's clock; below zero without a limit."""
        ended = live.ended
        if seconds < 0:
            await ended.wait()
        elif not ended.is_set() and seconds > 0:
            async with asyncio.TaskGroup() as group:
                ending = group.create_task(ended.wait())
                timer = group.create_task(self._clock.sleep(seconds))
                await asyncio.wait((ending, timer), return_when=asyncio.FIRST_COMPLETED)
                ending.cancel()
                timer.cancel()
        return ended.is_set()

    # -------------------------------------------------------------------------------- pausing

    async def pause(self, live: Live) -> None:
        """Freezes it. Its record says so first: after a crash it is frozen again.

        Raises:
            ConflictError: it does not run, or is frozen already.
            SystemFailureError: the kernel refused; it goes on.
        """
        async with self._register.locked(live):
            _check_pausable(live.container)
            self._register.update(live, replace(live.container, state=ContainerState.PAUSED))
            try:
                await self._runtime.pause(live.container.id)
            except SwarmdError as error:
                if not live.has_process or isinstance(error, NotFoundError):
                    raise not_running(live.container) from error
                running = replace(live.container, state=ContainerState.RUNNING)
                self._register.update(live, running)
                raise
            self._running.leave_health(live)
            self._register.tell(live.container, "pause")

    async def unpause(self, live: Live) -> None:
        """Lets it go on.

        Raises:
            ConflictError: it is not frozen.
        """
        async with self._register.locked(live):
            if live.container.state is not ContainerState.PAUSED:
                raise ConflictError(f"Container {live.container.id} is not paused")
            await self._resume(live)

    async def _resume(self, live: Live) -> None:
        await self._runtime.resume(live.container.id)
        if live.container.state is not ContainerState.PAUSED:  # it has ended meanwhile
            return
        self._register.update(live, replace(live.container, state=ContainerState.RUNNING))
        self._running.watch_health(live)
        self._register.tell(live.container, "unpause")


def grace_of(container: Container, wanted: float | None) -> float:
    """How long its stop signal has time to work: as asked for, else as it was created with, else ten seconds."""
    if wanted is not None:
        return wanted
    own = container.config.host.stop_timeout_seconds
    return DEFAULT_GRACE_SECONDS if own is None else own


def not_running(container: Container) -> ConflictError:
    """What is said of one that ought to run for what is asked of it."""
    return ConflictError(f"container {container.id} is not running")


def _check_pausable(container: Container) -> None:
    if container.state is ContainerState.PAUSED:
        raise ConflictError(f"Container {container.id} is already paused")
    if container.state is ContainerState.RESTARTING:
        raise ConflictError(
            f"Container {container.id} is restarting, wait until the container is running"
        )
    if container.state is not ContainerState.RUNNING:
        raise not_running(container)
