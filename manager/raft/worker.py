"""A thread beside the event loop, as an argument: the simulation decides itself when a write ends."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

T = TypeVar("T")


class Worker(Protocol):
    """Does one thing after the other, elsewhere."""

    def submit(self, work: Callable[[], T], /) -> "Future[T]":
        """Has ``work`` done; the future ends in any thread."""
        ...

    def stop(self) -> None:
        """Returns when everything submitted is done; blocks."""
        ...


class ThreadWorker:
    """A ``Worker`` of one thread."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, name)

    def submit(self, work: Callable[[], T], /) -> "Future[T]":
        """Has ``work`` done in the thread."""
        return self._pool.submit(work)

    def stop(self) -> None:
        """Returns when everything submitted is done."""
        self._pool.shutdown()
