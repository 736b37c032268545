"""How many connections swarmd hands on at once, of all ports: taken and given back, and waited for."""

import asyncio
from collections.abc import Callable


class Places:
    """A number of places."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: list[Callable[[], None]] = []

    def take(self) -> bool:
        """Takes one unless all are taken."""
        if not self._free:
            return False
        self._free -= 1
        return True

    def give_back(self) -> None:
        """Gives one back, and tells whoever waits."""
        self._free += 1
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            asyncio.get_running_loop().call_soon(call)

    def call_when_free(self, call: Callable[[], None]) -> None:
        """Calls once when one may be free: who waits asks again then."""
        self._waiting.append(call)
