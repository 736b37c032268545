"""How many certificates may be given at once and in a row. Pure."""

from typing import Final

BURST_MAX: Final = 500
"""Certificates in a row: a whole cluster that joins at once."""
PER_SECOND: Final = 50.0
"""Certificates in the long run: signing one holds the event loop for less than a millisecond."""


class Pace:
    """Gives leave to go on; what is not used of it is saved up to ``BURST_MAX``."""

    def __init__(self) -> None:
        self._left, self._at = float(BURST_MAX), 0.0

    def take(self, now: float) -> bool:
        """Whether one more may be given at the moment ``now`` (monotonic)."""
        if self._at:
            self._left = min(BURST_MAX, self._left + (now - self._at) * PER_SECOND)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
