"""Work that goes on when whoever asked for it is cancelled, and that ends with its owner."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Keeper:
    """A task group that is entered and left by its owner; leaving cancels what still runs."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        """Begins; ``close`` must follow in the same task."""
        await self._group.__aenter__()

    async def close(self, error: BaseException | None) -> None:
        """Cancels all that still runs and waits for it; what failed of itself is raised."""
        for task in self._tasks:
            task.cancel()
        kind = type(error) if error is not None else None
        await self._group.__aexit__(kind, error, error.__traceback__ if error else None)

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Starts work that nobody waits for; should it raise, its owner ends with it."""
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Does work to its end, even when the caller is cancelled meanwhile; its error is the caller's."""
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        outcome.add_done_callback(lambda done: done.cancelled() or done.exception())

        async def run() -> None:
            try:
                result = await work
            except asyncio.CancelledError:
                outcome.cancel()
                raise
            except Exception as error:  # noqa: BLE001 - handed to the caller
                outcome.set_exception(error)
            else:
                outcome.set_result(result)

        self.spawn(run())
        return await asyncio.shield(outcome)
