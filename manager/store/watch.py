"""Who waits for what is committed, and gets it in order without ever holding the store up."""

import asyncio
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from common.errors import UnavailableError
from manager.store.changes import StoredObject

WATCH_BACKLOG_MAX = 100_000
"""Changes that may wait for one watcher. One that lags further is told so, instead of filling the memory."""


class WatchLaggedError(UnavailableError):
    """The watcher missed changes: it must look at everything again; the watch goes on from now.

    Too many had waited for it, or the whole state was replaced by that of a snapshot.
    """


@dataclass(frozen=True, slots=True)
class Changed:
    """One object before and after an entry: ``old`` is None when it was created, ``new`` when it was deleted."""

    old: StoredObject | None
    new: StoredObject | None


@dataclass(frozen=True, slots=True)
class Committed:
    """What one entry changed; every object at most once."""

    index: int
    at: float
    changed: tuple[Changed, ...]


class Watch:
    """An async context manager (inside, nothing is missed) and an async iterator of what is committed.

    It has one reader.
    """

    def __init__(self, watchers: "Watchers") -> None:
        self._watchers = watchers
        self._waiting: deque[Committed] = deque()
        self._backlog = 0
        self._lagged = False
        self._ring: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        self._watchers.add(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._watchers.discard(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Committed:
        await self._something()
        committed = self._waiting.popleft()
        self._backlog -= len(committed.changed)
        return committed

    async def take(self) -> list[Committed]:
        """Everything that waits, at least one; waits until there is something.

        Raises:
            WatchLaggedError: too much waited.
        """
        await self._something()
        return self.waiting()

    def waiting(self) -> list[Committed]:
        """Everything that waits now, or nothing.

        Raises:
            WatchLaggedError: too much waited.
        """
        self._check_lag()
        taken = list(self._waiting)
        self._waiting.clear()
        self._backlog = 0
        return taken

    def tell(self, committed: Committed) -> None:
        """Puts a commit in the queue."""
        if self._lagged:
            return
        self._backlog += len(committed.changed)
        if self._backlog > WATCH_BACKLOG_MAX:
            self.miss()
            return
        self._waiting.append(committed)
        self._wake()

    def miss(self) -> None:
        """Drops what waits: the watcher is told to look at everything again."""
        self._lagged = True
        self._waiting.clear()
        self._wake()

    def _wake(self) -> None:
        if self._ring is not None and not self._ring.done():
            self._ring.set_result(None)

    async def _something(self) -> None:
        while not self._waiting and not self._lagged:
            self._ring = asyncio.get_running_loop().create_future()
            try:
                await self._ring
            finally:
                self._ring = None
        self._check_lag()

    def _check_lag(self) -> None:
        if self._lagged:
            self._lagged, self._backlog = False, 0
            raise WatchLaggedError("changes were missed: everything may have changed")


class Watchers:
    """All watches of one store."""

    def __init__(self) -> None:
        self._watches: dict[Watch, None] = {}  # a set that keeps the order, so that runs repeat

    def add(self, watch: Watch) -> None:
        """From now on the watch is told."""
        self._watches[watch] = None

    def discard(self, watch: Watch) -> None:
        """From now on it is not."""
        self._watches.pop(watch, None)

    def tell(self, committed: Committed) -> None:
        """Tells every watch what was committed."""
        for watch in self._watches:
            watch.tell(committed)

    def miss(self) -> None:
        """Tells every watch that everything may have changed."""
        for watch in self._watches:
            watch.miss()
