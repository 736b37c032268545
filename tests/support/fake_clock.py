"""Time that passes only when a test says so."""

import asyncio
import heapq
from itertools import count

TURNS = 50
"""Turns of the event loop that everything due gets to settle in."""


async def settle(turns: int = TURNS) -> None:
    """Lets everything that can run do so."""
    for _ in range(turns):
        await asyncio.sleep(0)


class FakeClock:
    """A ``common.clock.Clock``: ``await clock.advance(25)`` instead of sleeping."""

    def __init__(self, now: float = 1_000.0) -> None:
        self._now = now
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), woken))
        await woken

    @property
    def next_at(self) -> float | None:
        """When the next sleeper wakes."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    def skip(self, seconds: float) -> None:
        """Time passes while nothing of this process runs: who should have woken meanwhile does so too late."""
        self._now += seconds

    async def advance(self, seconds: float) -> None:
        """Lets time pass, waking each sleeper at its moment and letting its consequences settle."""
        await settle()
        until = self._now + seconds
        while (next_at := self.next_at) is not None and next_at <= until:
            self._now = max(self._now, next_at)
            heapq.heappop(self._sleepers)[2].set_result(None)
            await settle()
        self._now = until
        await settle()


class FakeBootClock:
    """A ``common.clock.BootClock`` of a machine whose clock may differ from others, and that may be started again."""

    def __init__(self, clock: FakeClock, *, ahead: float = 0.0, rate: float = 1.0) -> None:
        self._clock, self._ahead, self._rate = clock, ahead, rate
        self.boots = 1

    def seconds(self) -> float:
        return self._ahead + self._clock.monotonic() * self._rate

    def boot_id(self) -> str:
        return f"boot {self.boots}"
