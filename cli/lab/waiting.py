"""Looks until there is something to see. Time is an argument, as everywhere; this is where it comes from."""

import time
from collections.abc import Callable
from typing import TypeVar

from common.errors import UnavailableError

T = TypeVar("T")
PAUSE_SECONDS = 0.02


class Stopwatch:
    """Measures and waits; tests wait without waiting."""

    def read(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Waits."""
        time.sleep(seconds)


class TooLateError(UnavailableError):
    """What was waited for did not come about in time."""


def wait_for(
    what: str,
    look: Callable[[], T],
    *,
    seconds: float,
    pause: float = PAUSE_SECONDS,
    stopwatch: Stopwatch | None = None,
) -> T:
    """Looks until there is something true to see.

    Raises:
        TooLateError: there was not, at the deadline; says what was waited for.
    """
    watch = stopwatch or Stopwatch()
    end = watch.read() + seconds
    while not (seen := look()):
        if watch.read() >= end:
            raise TooLateError(f"waited {seconds:g} s for {what}; last seen: {seen!r}")
        watch.sleep(pause)
    return seen
