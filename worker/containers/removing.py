"""Takes containers away: one that somebody names, one that was to go after its end, all that do not run."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from common.errors import ConflictError, SwarmdError, SystemFailureError
from common.keeper import Keeper
from worker.containers.ending import Ending
from worker.containers.record import Container, ContainerState
from worker.containers.register import Live, Register
from worker.containers.restart_policy import is_lasting
from worker.containers.workshop import Workshop

log = logging.getLogger("swarmd.containers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What a prune has taken away."""

    ids: tuple[str, ...] = ()
    bytes_freed: int = 0


class Removing:
    """Takes containers away."""

    def __init__(
        self, register: Register, workshop: Workshop, ending: Ending, keeper: Keeper
    ) -> None:
        self._register, self._workshop, self._ending = register, workshop, ending
        self._keeper = keeper
        self._is_pruning = False
        self.forget: Callable[[str], None] = lambda _: None
        """Told of each that is gone."""

    async def remove(self, live: Live, *, force: bool, volumes: bool) -> None:
        """Takes away everything of it but named volumes, and anonymous ones unless ``volumes``.

        Raises:
            ConflictError: it runs, and is not forced.
            SystemFailureError: it does not die, or the machine refused; it is ``dead`` then.
        """
        async with live.lock:
            if not self._register.is_here(live):
                return
            if live.is_active and not force:
                raise _still_active(live.container)
            live.is_going = True
            try:
                await self._remove(live, volumes=volumes)
            finally:
                live.is_going = False

    async def _remove(self, live: Live, *, volumes: bool) -> None:
        await self._end(live)
        try:
            await self._workshop.put_down(live.container.id)
            await self._workshop.unmake(
                live.container.id,
                keep_anonymous=not volumes,
                is_lasting=is_lasting(live.container),
            )
        except SwarmdError as error:
            self._register.die(live, error.message)
            raise
        self._register.drop(live)
        self.forget(live.container.id)
        self._register.tell(live.container, "destroy")

    async def _end(self, live: Live) -> None:
        """Ends it for good, also should this process end before it is removed."""
        try:
            await self._ending.remember_wish(live)
        except SystemFailureError:  # removing is what makes room on a full disk
            log.exception("a removal is not recorded", extra={"container": live.container.id})
        live.forget_restart()
        live.ends_by_hand += 1
        try:
            if live.has_process:
                await self._ending.kill_all(live)
            if live.watcher is not None:
                await asyncio.wait([live.watcher])
        finally:
            live.ends_by_hand -= 1

    async def remove_after_end(self, live: Live) -> None:
        """Takes away one that was to go after its end, unless it was started again since.

        Raises:
            SystemFailureError: the machine refused; it is ``dead`` now.
        """
        with suppress(ConflictError):  # somebody has started it just now
            await self.remove(live, force=False, volumes=True)

    async def prune(self, wanted: Callable[[Container], bool]) -> Pruned:
        """Removes what does not run and is wanted; its anonymous volumes stay, as Docker has it.

        Raises:
            ConflictError: another is under way.
        """
        if self._is_pruning:
            raise ConflictError("a prune operation is already running")
        self._is_pruning = True
        try:
            return await self._prune(wanted)
        finally:
            self._is_pruning = False

    async def _prune(self, wanted: Callable[[Container], bool]) -> Pruned:
        removed, freed = [], 0
        for live in self._register.all():
            if live.is_active or _is_to_start(live.container) or not wanted(live.container):
                continue
            size = await self._workshop.size(live.container.id)
            try:
                await self._keeper.finish(self.remove(live, force=False, volumes=False))
            except ConflictError:  # it was started just now
                continue
            removed.append(live.container.id)
            freed += max(size, 0)
        self._register.tell_of_all("prune", reclaimed=str(freed))
        return Pruned(ids=tuple(removed), bytes_freed=freed)


def _is_to_start(container: Container) -> bool:
    """Of a task that its agent has made and is about to start."""
    return bool(container.config.task_id) and container.state is ContainerState.CREATED


def _still_active(container: Container) -> ConflictError:
    if container.state is ContainerState.PAUSED:
        state = "paused and must be unpaused first"
    else:
        state = f"{container.state.value}: stop the container before removing or force remove"
    return ConflictError(
        f'cannot remove container "/{container.config.name}": container is {state}'
    )
