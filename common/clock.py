"""Time as an argument: the only module that may read the machine's clock."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """What a loop needs to know of time."""

    def now(self) -> float:
        """Seconds since the epoch, for what people read and for what travels."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for measuring how long something took."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Waits on the running loop."""
        await asyncio.sleep(seconds)
