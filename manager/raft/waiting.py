"""Who waits for an entry to be applied."""

import asyncio
import heapq
from itertools import count

from common.errors import OutcomeUnknownError
from manager.raft.log import Applied

Outcome = asyncio.Future[Applied]


class Waiting:
    """Proposers by the index of their entry, and others that wait for an index."""

    def __init__(self) -> None:
        self._proposals: dict[int, Outcome] = {}
        self._others: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()

    def __len__(self) -> int:
        """How many proposals are under way."""
        return len(self._proposals)

    def for_outcome(self, index: int) -> Outcome:
        """Waits for what applying the entry of that index, just added here, answers."""
        outcome: Outcome = asyncio.get_running_loop().create_future()
        self._proposals[index] = outcome
        return outcome

    def for_index(self, index: int) -> "asyncio.Future[None]":
        """Waits until everything up to an index is applied."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._others, (index, next(self._order), done))
        return done

    def applied(self, index: int, answer: bytes) -> None:
        """The entry of that index was applied."""
        outcome = self._proposals.pop(index, None)
        if outcome is not None and not outcome.done():
            outcome.set_result(Applied(index, answer))

    def applied_through(self, index: int) -> None:
        """Everything up to an index is applied."""
        while self._others and self._others[0][0] <= index:
            _, _, done = heapq.heappop(self._others)
            if not done.done():
                done.set_result(None)

    def give_up_proposals(self) -> None:
        """Tells proposers that the outcome is unknown: another leader may commit what they proposed, or not."""
        proposals, self._proposals = self._proposals, {}
        for outcome in proposals.values():
            if not outcome.done():
                outcome.set_exception(
                    OutcomeUnknownError("leadership was lost before the change was committed")
                )
                outcome.exception()  # whoever waited may be gone: that is no one's fault

    def give_up(self, error: Exception) -> None:
        """Nobody waits any more."""
        self.give_up_proposals()
        others, self._others = self._others, []
        for _, _, done in others:
            if not done.done():
                done.set_exception(error)
                done.exception()
