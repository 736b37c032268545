"""The time of day, for a program that lives for one command (``common.clock`` would load asyncio)."""

import time


def now() -> float:
    """Seconds since the epoch."""
    return time.time()


class Stopwatch:
    """Measures and waits; tests wait without waiting."""

    def read(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Waits."""
        time.sleep(seconds)
