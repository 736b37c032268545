"""Takes up the containers of an earlier swarmd: compares the records with what runs, and goes on from there."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

from common.errors import SwarmdError
from worker.containers.record import Container, ContainerState
from worker.containers.recovery import Adopt, Amend, AskForEnd, after_absence, recovery_of
from worker.containers.register import Live, Register
from worker.containers.running import Running
from worker.containers.workshop import Machinery, Workshop

log = logging.getLogger("swarmd.containers")


class Recovering:
    """Done once, when the engine begins."""

    def __init__(
        self, register: Register, workshop: Workshop, machinery: Machinery, running: Running
    ) -> None:
        self._register, self._workshop, self._running = register, workshop, running
        self._runtime = machinery.runtime

    async def recover(self, containers: Sequence[Container]) -> None:
        """Takes up what the records on disk say."""
        lives = []
        for container in containers:
            self._workshop.hold(container)
            lives.append(self._register.add(container))
        running = await self._runtime.first_processes()
        for stray in sorted(running.keys() - {container.id for container in containers}):
            await self._end_stray(stray)
        for live in lives:
            await self._recover(live, running.get(live.container.id))
        await self._workshop.tidy([live.container.id for live in lives if live.watcher is not None])
        for live in lives:
            if live.watcher is not None:
                self._workshop.publishing.adopt(live.container)
            elif _has_ended(live.container):
                self._running.follow_up(live)

    async def _recover(self, live: Live, pid: int | None) -> None:
        now = self._register.clock.now()
        match recovery_of(live.container, is_running=pid is not None, now=now):
            case Adopt(container=container):
                container = replace(container, pid=pid or container.pid)
                self._register.update(live, container)
                await self._freeze_again(container)
                self._running.look_after(live)
            case AskForEnd():
                await self._recover_end(live)
            case Amend(container=container):
                self._register.update(live, container)
                await self._put_down(container)
            case _:
                await self._put_down(live.container)

    async def _put_down(self, container: Container) -> None:
        """Gives back what its last run had, if that was cut off."""
        if not await asyncio.to_thread(self._workshop.is_put_down, container.id):
            await self._running.put_down_or_log(container.id)

    async def _freeze_again(self, container: Container) -> None:
        """What was being frozen is so."""
        if container.state is ContainerState.PAUSED:
            try:
                await self._runtime.pause(container.id)
            except SwarmdError:  # it may just be ending
                log.exception("a container is not frozen again", extra={"container": container.id})

    async def _recover_end(self, live: Live) -> None:
        try:
            ended = await self._running.known_end(live.container.id)
        except TimeoutError:  # it was just being started
            pid = (await self._runtime.first_processes()).get(live.container.id, 0)
            running = replace(live.container, state=ContainerState.RUNNING, pid=pid)
            self._register.update(live, running)
            self._running.look_after(live)
            return
        now = self._register.clock.now()
        after = after_absence(live.container, ended, now=now)
        if after.state is ContainerState.EXITED:
            self._running.record_end(live, after)
            live.ended.set()
        else:
            self._register.update(live, after)
        await self._running.put_down_or_log(live.container.id)

    async def _end_stray(self, container_id: str) -> None:
        """Ends a container that has no record: its making was cut off."""
        log.warning("ending a container without a record", extra={"container": container_id})
        await self._runtime.kill(container_id)
        await self._running.known_end(container_id)
        await self._running.put_down_or_log(container_id)


def _has_ended(container: Container) -> bool:
    """Whether it ran, or was to run and could not: one that waits for its first start is left alone."""
    was_refused = container.state is ContainerState.CREATED and bool(container.error)
    return was_refused or container.state in (ContainerState.EXITED, ContainerState.RESTARTING)
