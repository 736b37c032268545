"""Verdicts packed into entries of the store."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from manager.store.changes import Change
from manager.store.store import MAX_CHANGES_PER_ENTRY

Key = TypeVar("Key", bound=Hashable)


@dataclass(slots=True)
class Batch(Generic[Key]):
    """Changes proposed together, and the keys they were decided for."""

    keys: list[Key] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)


class Batches(Generic[Key]):
    """What one turn proposes: a verdict that fits into an entry is not torn, and small ones share one."""

    def __init__(self) -> None:
        self.full: list[Batch[Key]] = []
        self._open: Batch[Key] | None = None
        self.changes = 0

    def add(self, key: Key, changes: Sequence[Change], *, alone: bool = False) -> None:
        """Packs the changes of one key; ``alone`` shares no entry with others, which might refuse it."""
        self.changes += len(changes)
        if alone or len(changes) > MAX_CHANGES_PER_ENTRY:
            for start in range(0, len(changes), MAX_CHANGES_PER_ENTRY):
                part = list(changes[start : start + MAX_CHANGES_PER_ENTRY])
                self.full.append(Batch([key], part))
            return
        if self._open is None or len(self._open.changes) + len(changes) > MAX_CHANGES_PER_ENTRY:
            self._open = Batch()
            self.full.append(self._open)
        self._open.keys.append(key)
        self._open.changes.extend(changes)
