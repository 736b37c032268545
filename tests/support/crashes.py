"""A process that dies before the n-th time it changes something on the disk."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_EVENTS = frozenset({"os.rename", "os.remove"})
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class CrashedError(BaseException):
    """Nothing that follows happens."""


class _Watch:
    left = 0
    is_hooked = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.left or not _is_change(event, arguments):
            return
        self.left -= 1
        if not self.left:
            raise CrashedError


_watch = _Watch()


@contextmanager
def crash_before(change: int) -> Iterator[None]:
    """Raises CrashedError in the place of that change: a file opened for writing, renamed or removed."""
    if not _watch.is_hooked:  # such a hook stays; it does nothing outside of this context
        sys.addaudithook(_watch)
        _watch.is_hooked = True
    _watch.left = change
    try:
        yield
    finally:
        _watch.left = 0


def _is_change(event: str, arguments: tuple[Any, ...]) -> bool:
    if event == "open":
        flags = arguments[2]
        return isinstance(flags, int) and bool(flags & _WRITES)
    return event in _EVENTS
