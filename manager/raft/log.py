"""What a replicated log is, whatever is under it: bytes in, and on every manager the same bytes in the same order."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from common.errors import TooLargeError

ENTRY_BYTES_MAX = 4 * 1024 * 1024
"""The largest entry that may be proposed."""
REQUEST_ID_BYTES = 16
"""Length of the id by which a repeated proposal is known."""

Apply = Callable[[int, bytes, bytes], bytes]
"""``apply(index, request_id, entry) -> answer``: the state machine behind a log.

Called for every committed entry in order, on every manager. It must be total and deterministic: what it refuses it
says in its answer. If it raises, the manager stops (its state can no longer be trusted).
"""


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
            NotLeaderError: nothing was proposed: this manager does not lead.
            OutcomeUnknownError: the entry may or may not be committed.
        """
        ...


def check_size(entry: bytes) -> None:
    """Refuses an entry that no log takes."""
    if len(entry) > ENTRY_BYTES_MAX:
        raise TooLargeError(
            f"a change of {len(entry)} bytes is more than the store takes at once ({ENTRY_BYTES_MAX})"
        )
