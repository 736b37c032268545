"""The store as everyone but the log sees it: look, propose, watch."""

import random  # noqa: TID251 - only named as a type
from collections.abc import Iterator, Sequence

from common.clock import Clock
from common.codec import encode
from common.errors import NoLeaderError, OutcomeUnknownError, TooLargeError, UnavailableError
from manager.raft.log import REQUEST_ID_BYTES, Applied, Log
from manager.store.changes import Change, Entry
from manager.store.memory_log import MemoryLog
from manager.store.replica import Replica, raise_refusal
from manager.store.state import State
from manager.store.watch import Watch

MAX_CHANGES_PER_ENTRY = 200
"""Changes that one proposal may carry; whoever has more splits them."""
PROPOSE_AGAIN_SECONDS_MAX = 5.0
"""How long a proposal whose outcome is unknown is proposed again, so that its proposer learns what became of it."""
PROPOSE_AGAIN_PAUSE_SECONDS = 0.05
_SESSION_BYTES = 8


class Store:
    """A facade over this manager's replica and the log that keeps all replicas alike."""

    def __init__(
        self,
        replica: Replica,
        log: Log,
        clock: Clock,
        chance: random.Random,
        *,
        reign: int = 0,
    ) -> None:
        self._replica, self._log, self._clock, self._chance = replica, log, clock, chance
        self._reign = reign
        self._session = chance.randbytes(_SESSION_BYTES)
        self._requests = 0

    @property
    def state(self) -> State:
        """The live tables; look at them without awaiting in between."""
        return self._replica.state

    def watch(self) -> Watch:
        """What is committed from the moment on at which the context is entered."""
        return Watch(self._replica.watchers)

    def snapshot(self) -> Iterator[bytes]:
        """The whole state as it is now, in parts; the iterator belongs into a thread."""
        return self._replica.snapshot()

    async def up_to_date(self) -> None:
        """Returns once ``state`` holds everything that was committed anywhere before this call.

        Raises:
            NoLeaderError: too few managers are there to know.
        """
        await self._log.up_to_date()

    @property
    def is_in_its_reign(self) -> bool:
        """Whether no other manager has begun to lead, as far as ``state`` goes; always for a store without a reign."""
        return self._reign in (0, self.state.reign)

    async def begin_reign(self) -> "Store":
        """The same store for the loops of a manager that has come to lead: for one reign, and no longer.

        What is proposed through it is refused (``ReignOverError``) once another manager has begun to lead: however
        late it arrives, by whatever way, it cannot meet what the new leader has decided meanwhile.

        Raises:
            NoLeaderError, OutcomeUnknownError: as ``propose``, but it is tried once only: who lost the lead meanwhile
                must not take it from the next.
        """
        entry = Entry(at=self._clock.now(), changes=(), begins_reign=True)
        reign = (await self._log.propose(encode(entry), self._next_request())).index
        return Store(self._replica, self._log, self._clock, self._chance, reign=reign)

    async def propose(self, changes: Sequence[Change]) -> int:
        """Has the changes applied, all or none, and gives the index once they are, here too.

        Nothing to do is done at once. A manager that does not lead hands them to the one that does.

        Raises:
            StaleVersionError: an object was changed since: look again, decide again.
            ReignOverError: the reign is over.
            ConflictError: a name or id is taken.
            NotFoundError: an object is gone.
            TooLargeError: too many changes or bytes for one entry.
            NoLeaderError: nothing was changed: nobody leads.
            UnavailableError: nothing was changed: this manager is not running, or too much is under way.
            OutcomeUnknownError: a leader was lost meanwhile, and for long: the changes may or may not be applied.
        """
        if not changes:
            return self.state.index
        if len(changes) > MAX_CHANGES_PER_ENTRY:
            raise TooLargeError(
                f"{len(changes)} changes at once; at most {MAX_CHANGES_PER_ENTRY} are taken"
            )
        entry = Entry(at=self._clock.now(), changes=tuple(changes), reign=self._reign)
        return await self._propose(entry)

    async def _propose(self, entry: Entry) -> int:
        request_id = self._next_request()
        data = encode(entry)
        self._replica.expect(request_id, entry)
        try:
            applied = await self._applied(data, request_id)
        finally:
            self._replica.forget(request_id)
        raise_refusal(applied.answer)
        return applied.index

    async def _applied(self, data: bytes, request_id: bytes) -> Applied:
        """Proposes, and while the outcome is unknown the same again: it applies once, and is answered then."""
        ends = self._clock.monotonic() + PROPOSE_AGAIN_SECONDS_MAX
        unknown: OutcomeUnknownError | None = None
        while True:
            try:
                return await self._log.propose(data, request_id)
            except OutcomeUnknownError as error:
                unknown = error
            except NoLeaderError:
                if unknown is None:
                    raise
            except UnavailableError as error:
                if unknown is None:
                    raise
                raise unknown from error  # stopped, or too much was committed since to know it again
            if self._clock.monotonic() >= ends:
                raise unknown
            await self._clock.sleep(PROPOSE_AGAIN_PAUSE_SECONDS)

    def _next_request(self) -> bytes:
        self._requests += 1
        return self._session + self._requests.to_bytes(REQUEST_ID_BYTES - _SESSION_BYTES, "big")


def memory_store(clock: Clock, chance: random.Random) -> Store:
    """A store of its own without any disk: for tests, benchmarks and simulation."""
    replica = Replica()
    return Store(replica, MemoryLog(replica.apply), clock, chance)
