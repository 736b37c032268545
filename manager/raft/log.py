"""What a replicated log is, whatever is under it: bytes in, and on every manager the same bytes in the same order."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from common.errors import TooLargeError

ENTRY_BYTES_MAX = 4 * 1024 * 1024
"""The largest entry that may be proposed."""
REQUEST_ID_BYTES = 16
"""Length of the id by which a repeated proposal is known."""

REQUESTS_REMEMBERED = 65_536
"""A state machine answers a request that is among the last this many entries as it did the first time.

Five seconds at 12,000 entries a second: as long as a proposal with an unknown outcome is proposed again.
"""
SNAPSHOT_PART_BYTES_MAX = 512 * 1024
"""The largest part of a snapshot."""

LogEntry = tuple[bytes, int, int]
"""(command, index, term), as PySyncObj wants them."""

Apply = Callable[[int, bytes, bytes], bytes]
"""``apply(index, request_id, entry) -> answer``: the state machine behind a log.

Called for every committed entry in order, on every manager. It must be total and deterministic: what it refuses it
says in its answer. If it raises, the manager stops (its state can no longer be trusted).
"""


class StateMachine(Protocol):
    """What the log keeps alike on every manager."""

    def apply(self, index: int, request_id: bytes, entry: bytes) -> bytes:
        """Takes one committed entry; see ``Apply``.

        A request id among those of the last ``REQUESTS_REMEMBERED`` entries is answered as the first time, and
        changes nothing.
        """
        ...

    def snapshot(self) -> Iterator[bytes]:
        """The whole state as it is now, in parts of at most ``SNAPSHOT_PART_BYTES_MAX``.

        Called in the event loop, where it only takes hold of what is there (shallow copies of immutable objects). The
        parts are taken from the iterator in another thread; one takes less than about 2 ms, so that the loop is never
        held for long.
        """
        ...

    def restore(self, parts: Iterable[bytes]) -> Callable[[], None]:
        """Makes a state of the parts of a snapshot, in another thread.

        What it gives, called in the loop, puts that state in the place of the present one.
        """
        ...


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a proposal."""

    index: int
    answer: bytes


class Log(Protocol):
    """The log as the store sees it."""

    async def propose(self, entry: bytes, request_id: bytes) -> Applied:
        """Gives what applying the entry answered here, once it is committed and applied.

        Proposing again with the same ``request_id`` (after an unknown outcome) applies at most once.

        Raises:
            TooLargeError: the entry has more than ``ENTRY_BYTES_MAX`` bytes.
            NoLeaderError: nothing was proposed: nobody leads.
            NotLeaderError: nothing was proposed: this manager does not run.
            OutcomeUnknownError: the entry may or may not be committed.
        """
        ...

    async def up_to_date(self) -> None:
        """Returns once everything that was committed anywhere before this call is applied here.

        Raises:
            NoLeaderError: nobody leads, so nobody knows.
        """
        ...


def check_size(entry: bytes) -> None:
    """Refuses an entry that no log takes."""
    if len(entry) > ENTRY_BYTES_MAX:
        raise TooLargeError(
            f"a change of {len(entry)} bytes is more than the store takes at once ({ENTRY_BYTES_MAX})"
        )
