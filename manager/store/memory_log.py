"""A log of one manager in memory: for tests, benchmarks and simulation."""

import asyncio

from manager.raft.log import Applied, Apply, check_size


class MemoryLog:
    """Commits what is proposed at once, and gives the others a turn."""

    def __init__(self, apply: Apply) -> None:
        self._apply = apply
        self._index = 0

    async def propose(self, entry: bytes, request_id: bytes) -> Applied:
        """Applies the entry."""
        check_size(entry)
        self._index += 1
        applied = Applied(self._index, self._apply(self._index, request_id, entry))
        await asyncio.sleep(0)  # what was committed can be looked at before the next proposal
        return applied

    async def up_to_date(self) -> None:
        """Everything that was committed is applied."""
