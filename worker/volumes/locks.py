"""One lock per name, for as long as somebody wants it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class NameLocks:
    """Work on one name waits for other work on that name only."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def of(self, name: str) -> AsyncIterator[None]:
        """Holds the name's lock."""
        lock, wanted = self._locks.get(name) or (asyncio.Lock(), 0)
        self._locks[name] = (lock, wanted + 1)
        try:
            async with lock:
                yield
        finally:
            lock, wanted = self._locks.pop(name)
            if wanted > 1:
                self._locks[name] = (lock, wanted - 1)
