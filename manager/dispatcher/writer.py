"""Commits what all sessions want written, in batches: whatever comes while one is on its way makes up the next."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Never, Protocol

from common.errors import ConflictError, NotFoundError, NotLeaderError, SwarmdError, TooLargeError
from manager.store.changes import Change
from manager.store.state import State
from manager.store.store import MAX_CHANGES_PER_ENTRY

ATTEMPTS_MAX: Final = 20
"""Times that a batch is decided again because someone else wrote first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Something to write: ``change`` looks at the state and says what, or None when there is nothing left to do."""

    key: str
    """The object written; a batch holds one wish for each."""
    change: Callable[[State], Change | None]


class WritableStore(Protocol):
    """What a writer needs of the store."""

    @property
    def state(self) -> State:
        """The live tables."""
        ...

    async def propose(self, changes: Sequence[Change]) -> int:
        """Has the changes applied, all or none."""
        ...


class _Write:
    """The wishes of one caller, who waits for the last of them."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def one_is_done(self) -> None:
        self.left -= 1
        if self.left == 0 and not self.done.done():
            self.done.set_result(None)

    def fail(self, error: SwarmdError) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class Writer:
    """Takes wishes while it runs. A session waits for its own, so at most one report of each is held here."""

    def __init__(self, store: WritableStore) -> None:
        self._store = store
        self._waiting: deque[tuple[Wish, _Write]] = deque()
        self._filled = asyncio.Event()
        self._runs = False

    async def write(self, wishes: Sequence[Wish]) -> None:
        """Returns once all of it is committed.

        Raises:
            NotLeaderError: this manager does not lead (any more).
            SwarmdError: what the store refused it with.
        """
        if not self._runs:
            raise NotLeaderError("this manager does not lead")
        if not wishes:
            return
        write = _Write(len(wishes))
        self._waiting.extend((wish, write) for wish in wishes)
        self._filled.set()
        await write.done

    async def run(self) -> Never:
        """Commits batches until it is cancelled; what waits then fails."""
        self._runs = True
        batch: list[tuple[Wish, _Write]] = []
        try:
            while True:
                await self._filled.wait()
                batch = self._next_batch()
                await self._commit(batch)
                batch = []
        finally:
            self._runs = False
            for _, write in (*batch, *self._waiting):
                write.fail(NotLeaderError("this manager does not lead any more"))
            self._waiting.clear()

    def _next_batch(self) -> list[tuple[Wish, _Write]]:
        batch: dict[str, tuple[Wish, _Write]] = {}
        while self._waiting and len(batch) < MAX_CHANGES_PER_ENTRY:
            if self._waiting[0][0].key in batch:
                break
            wish, write = self._waiting.popleft()
            batch[wish.key] = (wish, write)
        if not self._waiting:
            self._filled.clear()
        return list(batch.values())

    async def _commit(self, batch: Sequence[tuple[Wish, _Write]]) -> None:
        try:
            await self._propose([wish for wish, _ in batch])
        except TooLargeError as error:
            if len(batch) == 1:
                batch[0][1].fail(error)
                return
            middle = len(batch) // 2
            await self._commit(batch[:middle])
            await self._commit(batch[middle:])
        except SwarmdError as error:
            for _, write in batch:
                write.fail(error)
        else:
            for _, write in batch:
                write.one_is_done()

    async def _propose(self, wishes: Iterable[Wish]) -> None:
        wishes = list(wishes)
        for attempt in range(1, ATTEMPTS_MAX + 1):
            decided = (wish.change(self._store.state) for wish in wishes)
            try:
                await self._store.propose([change for change in decided if change is not None])
            except (ConflictError, NotFoundError):  # stale: look at the state again
                if attempt == ATTEMPTS_MAX:
                    raise
            else:
                return
