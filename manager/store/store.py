"""The store as everyone but the log sees it: look, propose, watch."""

import random  # noqa: TID251 - only named as a type
from collections.abc import Sequence

from common.clock import Clock
from common.codec import encode
from common.errors import TooLargeError
from manager.raft.log import REQUEST_ID_BYTES, Log
from manager.store.changes import Change, Entry
from manager.store.memory_log import MemoryLog
from manager.store.replica import Replica, raise_refusal
from manager.store.state import State
from manager.store.watch import Watch

MAX_CHANGES_PER_ENTRY = 200
"""Changes that one proposal may carry; whoever has more splits them."""
_SESSION_BYTES = 8


class Store:
    """A facade over this manager's replica and the log that keeps all replicas alike."""

    def __init__(self, replica: Replica, log: Log, clock: Clock, chance: random.Random) -> None:
        self._replica, self._log, self._clock = replica, log, clock
        self._session = chance.randbytes(_SESSION_BYTES)
        self._requests = 0

    @property
    def state(self) -> State:
        """The live tables; look at them without awaiting in between."""
        return self._replica.state

    def watch(self) -> Watch:
        """What is committed from the moment on at which the context is entered."""
        return Watch(self._replica.watchers)

    async def propose(self, changes: Sequence[Change]) -> int:
        """Has the changes applied, all or none, and gives the index once they are.

        Nothing to do is done at once.

        Raises:
            StaleVersionError: an object was changed since: look again, decide again.
            ConflictError: a name or id is taken.
            NotFoundError: an object is gone.
            TooLargeError: too many changes or bytes for one entry.
            NotLeaderError: this manager does not lead.
            OutcomeUnknownError: leadership was lost meanwhile; the changes may or may not be applied.
        """
        if not changes:
            return self.state.index
        if len(changes) > MAX_CHANGES_PER_ENTRY:
            raise TooLargeError(
                f"{len(changes)} changes at once; at most {MAX_CHANGES_PER_ENTRY} are taken"
            )
        entry = Entry(at=self._clock.now(), changes=tuple(changes))
        request_id = self._next_request()
        data = encode(entry)
        self._replica.expect(request_id, entry)
        try:
            applied = await self._log.propose(data, request_id)
        finally:
            self._replica.forget(request_id)
        raise_refusal(applied.answer)
        return applied.index

    def _next_request(self) -> bytes:
        self._requests += 1
        return self._session + self._requests.to_bytes(REQUEST_ID_BYTES - _SESSION_BYTES, "big")


def memory_store(clock: Clock, chance: random.Random) -> Store:
    """A store of its own without any disk: for tests, benchmarks and simulation."""
    replica = Replica()
    return Store(replica, MemoryLog(replica.apply), clock, chance)
