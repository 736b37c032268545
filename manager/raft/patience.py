"""How long one call waits for a leader: a moment after one was lost, not at all when there was none for long."""

import asyncio

from common.errors import NoLeaderError, NotLeaderError
from manager.raft.participant import Participant


class Patience:
    """The patience of one call."""

    def __init__(self, participant: Participant) -> None:
        self._participant = participant
        self._leadership, around = participant.leadership, participant.member.around
        self._clock, self._settings = around.clock, around.settings
        self._ends = self._clock.monotonic() + self._settings.leader_wait_seconds

    async def leader(self) -> str:
        """Who leads.

        Raises:
            NoLeaderError: nobody, and it is no use to wait.
            NotLeaderError: this manager is not running any more.
        """
        while True:
            self.check()
            leader = self._participant.member.leader
            if leader is not None:
                return leader
            await self._wait(self._ends - self._clock.monotonic())

    async def wait_for_change(self) -> None:
        """Waits for another leader, or a little.

        Raises:
            NoLeaderError: it took too long.
            NotLeaderError: this manager is not running any more.
        """
        self.check()
        await self._wait(self._settings.heartbeat_seconds)

    def check(self) -> None:
        """Whether there is still something to wait for.

        Raises:
            NoLeaderError: nobody leads, for too long; or this patience is at its end.
            NotLeaderError: this manager is not running any more.
        """
        if self._participant.is_over:
            raise NotLeaderError("this manager is not running")
        lost_at = self._leadership.lost_at
        ends = self._ends
        if lost_at is not None:
            ends = min(ends, lost_at + self._settings.leader_wait_seconds)
        if self._clock.monotonic() >= ends:
            raise NoLeaderError

    async def _wait(self, seconds: float) -> None:
        lost_at = self._leadership.lost_at
        if lost_at is not None:
            left = lost_at + self._settings.leader_wait_seconds - self._clock.monotonic()
            seconds = min(seconds, left)
        try:
            async with asyncio.timeout(max(seconds, 0.0)):
                await self._leadership.change()
        except TimeoutError:
            return
