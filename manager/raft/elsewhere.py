"""Work done by a worker, its outcome taken in the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from manager.raft.worker import Worker

T = TypeVar("T")


class Elsewhere:
    """Hands work to a worker; nothing that it gives comes back once this is closed."""

    def __init__(self, worker: Worker, broke: Callable[[str, BaseException], None]) -> None:
        """``broke`` is told of work that failed and was not expected to."""
        self._worker, self.broke = worker, broke
        self._loop = asyncio.get_running_loop()
        self._closed = False

    def do(
        self,
        what: str,
        work: Callable[[], T],
        then: Callable[[T], None],
        failed: Callable[[BaseException], None] | None = None,
    ) -> None:
        """Has ``work`` done, and ``then`` called in the loop with what it gave; ``what`` names it when it fails."""

        def done(future: "Future[T]") -> None:
            if self._closed:
                return
            error = future.exception()
            try:
                if error is None:
                    then(future.result())
                elif failed is not None:
                    failed(error)
                else:
                    self.broke(what, error)
            except Exception as unexpected:  # noqa: BLE001 - whatever it is, its owner has to know
                self.broke(what, unexpected)

        def hand_over(future: "Future[T]") -> None:
            if not self._closed:
                self._loop.call_soon_threadsafe(done, future)

        self._worker.submit(work).add_done_callback(hand_over)

    async def result(self, work: Callable[[], T]) -> T:
        """Has ``work`` done, and waits for what it gives or raises."""
        return await asyncio.wrap_future(self._worker.submit(work))

    async def close(self, last: Callable[[], None] = lambda: None) -> None:
        """Waits for what is under way, whose outcome is dropped, and has ``last`` done."""
        self._closed = True
        try:
            await asyncio.wrap_future(self._worker.submit(last))
        finally:
            self._worker.stop()
