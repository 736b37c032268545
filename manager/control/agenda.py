"""Which keys a loop has to look at, and when: those that changed, and those whose time has come."""

import heapq
from collections.abc import Hashable, Iterable
from itertools import count
from typing import Generic, TypeVar

from manager.store.verdict import NEVER

Key = TypeVar("Key", bound=Hashable)


class Agenda(Generic[Key]):
    """Dirty keys in the order in which they became dirty, and one reminder per key."""

    def __init__(self) -> None:
        self._dirty: dict[Key, None] = {}
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._order = count()

    def mark(self, keys: Iterable[Key]) -> None:
        """These are to be looked at now."""
        for key in keys:
            self._dirty[key] = None

    def remind(self, key: Key, at: float | None) -> None:
        """The key is to be looked at then, instead of what was said before; None: not because of the time."""
        if at is None or at == NEVER:
            self._due.pop(key, None)
            return
        if self._due.get(key) != at:
            self._due[key] = at
            heapq.heappush(self._heap, (at, next(self._order), key))

    def ring(self, now: float) -> None:
        """Makes the keys dirty whose time has come."""
        while (at := self.next_at) is not None and at <= now:
            key = heapq.heappop(self._heap)[2]
            del self._due[key]
            self._dirty[key] = None

    @property
    def next_at(self) -> float | None:
        """When the next reminder is due."""
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)  # it was put off, or taken back
        return self._heap[0][0] if self._heap else None

    @property
    def has_dirty(self) -> bool:
        """Whether there is something to look at now."""
        return bool(self._dirty)

    def pop(self) -> Key:
        """The key that has been dirty for longest."""
        key = next(iter(self._dirty))
        del self._dirty[key]
        return key
