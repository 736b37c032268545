"""Whether this manager really leads: asked of a majority, for many who want to know at the same time.

An agent counts the leases of its tasks from the heartbeats that are answered. A manager that was cut off from the
others goes on for a moment as if it led; what it answers must not let a task run on that the next leader replaces.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Never, Protocol

from common.clock import Clock
from common.errors import UnavailableError

ROUND_SECONDS_MIN: Final = 0.05
"""Between two rounds: who asks meanwhile shares the next one."""
AGAIN_SECONDS: Final = 0.2
"""After a round that nobody answered."""
_log = logging.getLogger(__name__)


class KnowingStore(Protocol):
    """What is needed of the store."""

    async def up_to_date(self) -> None:
        """Returns once everything is here that was committed anywhere before this call."""
        ...

    @property
    def is_in_its_reign(self) -> bool:
        """Whether no other manager has begun to lead, as far as is known here."""
        ...


class Certainty:
    """Answers, while it runs, those who ask; who asks in vain is not answered."""

    def __init__(self, store: KnowingStore, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._waiting: list[Callable[[], None]] = []
        self._asked = asyncio.Event()

    def ask(self, do: Callable[[], None]) -> None:
        """Does it once it is sure that this manager led at the moment of this call."""
        self._waiting.append(do)
        self._asked.set()

    async def wait(self) -> None:
        """Returns once it is sure that this manager led at the moment of this call."""
        sure = asyncio.Event()
        self.ask(sure.set)
        await sure.wait()

    async def run(self) -> Never:
        """Asks the others, round after round."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            asking, self._waiting = self._waiting, []
            if await self._leads():
                for do in asking:
                    do()
                await self._clock.sleep(ROUND_SECONDS_MIN)
            else:
                self._waiting = [*asking, *self._waiting]
                self._asked.set()
                await self._clock.sleep(AGAIN_SECONDS)

    async def _leads(self) -> bool:
        try:
            await self._store.up_to_date()
        except UnavailableError as error:
            _log.info("it is not sure whether this manager leads: %s", error)
            return False
        return self._store.is_in_its_reign
