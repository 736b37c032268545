"""Changes of containers, told to whoever listens: the latest of each, never a queue that grows."""

import asyncio
from collections.abc import AsyncIterator
from weakref import WeakSet

from typing_extensions import override

from worker.containers.record import Container


class Subscription(AsyncIterator[Container]):
    """One listener; it hears of everything from the moment it was made."""

    def __init__(self) -> None:
        self._latest: dict[str, Container] = {}
        self._news = asyncio.Event()

    def put(self, container: Container) -> None:
        """Remembers a container's latest state."""
        self._latest[container.id] = container
        self._news.set()

    @override
    async def __anext__(self) -> Container:
        while not self._latest:
            self._news.clear()
            await self._news.wait()
        return self._latest.pop(next(iter(self._latest)))


class Feed:
    """Where the engine tells; listeners that nobody holds any more are forgotten."""

    def __init__(self) -> None:
        self._listeners: WeakSet[Subscription] = WeakSet()

    def subscribe(self) -> Subscription:
        """A new listener."""
        listener = Subscription()
        self._listeners.add(listener)
        return listener

    def tell(self, container: Container) -> None:
        """Tells every listener."""
        for listener in self._listeners:
            listener.put(container)
