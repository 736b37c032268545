"""Who waits for the end of a container (``docker wait``)."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from enum import StrEnum

from common.errors import UnavailableError
from worker.containers.record import Container, ContainerState

WAITS_MAX = 1024
"""Of one container at a time."""
_ENDED = (ContainerState.CREATED, ContainerState.EXITED, ContainerState.DEAD)


class WaitCondition(StrEnum):
    """What is waited for (Engine API ``condition``)."""

    NOT_RUNNING = "not-running"
    NEXT_EXIT = "next-exit"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a container had ended."""

    exit_code: int
    error: str = ""
    """Why it could not be started, or not be removed in full."""


class Waits:
    """Those who wait for one container."""

    def __init__(self) -> None:
        self._for_end: set[asyncio.Future[Ended]] = set()
        self._for_removal: set[asyncio.Future[Ended]] = set()

    def wait(self, container: Container, condition: WaitCondition) -> Awaitable[Ended]:
        """From now on nothing is missed; the answer is awaited.

        Raises:
            UnavailableError: too many wait already.
        """
        future: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        if condition is WaitCondition.NOT_RUNNING and container.state in _ENDED:
            future.set_result(_ended(container))
            return future
        if len(self._for_end) + len(self._for_removal) >= WAITS_MAX:
            raise UnavailableError(f"{WAITS_MAX} wait for this container already")
        waiting = self._for_removal if condition is WaitCondition.REMOVED else self._for_end
        waiting.add(future)
        future.add_done_callback(waiting.discard)
        return future

    def end(self, container: Container) -> None:
        """It has ended, though it may start again."""
        _answer(self._for_end, container)

    def gone(self, container: Container) -> None:
        """It is removed."""
        _answer(self._for_end, container)
        _answer(self._for_removal, container)


def _ended(container: Container) -> Ended:
    return Ended(exit_code=container.exit_code, error=container.error)


def _answer(waiting: set[asyncio.Future[Ended]], container: Container) -> None:
    for future in list(waiting):
        if not future.done():
            future.set_result(_ended(container))
