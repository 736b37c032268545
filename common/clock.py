"""Time as an argument: the only module that may read the machine's clock."""

import asyncio
import time
from pathlib import Path
from typing import Final, Protocol

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


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


class BootClock(Protocol):
    """A clock that nobody sets, that goes on while the machine is suspended, and that outlives this process."""

    def seconds(self) -> float:
        """Seconds since the machine was started."""
        ...

    def boot_id(self) -> str:
        """Which start of the machine that was."""
        ...


class SystemBootClock:
    """The machine's own."""

    def seconds(self) -> float:
        """Seconds since the machine was started, suspension included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def boot_id(self) -> str:
        """The kernel's name for this start."""
        return _BOOT_ID.read_text().strip()
