"""What happened, in order and bounded, for readers that catch up each in its own time."""

from collections.abc import Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

JOURNAL_MAX = 32_768
"""Items kept; a reader that lags further looks at everything instead."""


class Journal(Generic[T]):
    """An append-only list with positions that stay valid while old items are dropped."""

    def __init__(self, limit: int = JOURNAL_MAX) -> None:
        self._items: list[T] = []
        self._dropped = 0
        self._limit = limit

    @property
    def end(self) -> int:
        """The position after the last item."""
        return self._dropped + len(self._items)

    def append(self, item: T) -> None:
        """Adds an item, dropping the older half of what is kept when there are too many."""
        self._items.append(item)
        if len(self._items) > self._limit:
            half = len(self._items) // 2
            del self._items[:half]
            self._dropped += half

    def since(self, position: int) -> Sequence[T] | None:
        """The items from a position on; None when some of them are no longer kept."""
        start = position - self._dropped
        return None if start < 0 else self._items[start:]
