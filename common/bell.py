"""A doorbell: somebody has rung, or it is time to look without."""

import asyncio

from common.clock import Clock


class Bell:
    """Rung by whoever changes something; one waits for it. Ringing while nobody waits is not lost."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._rung = clock, asyncio.Event()

    def ring(self) -> None:
        """Wakes who waits, or lets the next wait end at once."""
        self._rung.set()

    async def wait(self, seconds_max: float | None = None) -> None:
        """Returns once it was rung, or after so long."""
        if seconds_max is None:
            await self._rung.wait()
        elif not self._rung.is_set():
            await self._wait(seconds_max)
        self._rung.clear()

    async def _wait(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        ring = loop.create_task(self._rung.wait())
        sleep = loop.create_task(self._clock.sleep(seconds))
        try:
            await asyncio.wait((ring, sleep), return_when=asyncio.FIRST_COMPLETED)
        finally:
            ring.cancel()
            sleep.cancel()
