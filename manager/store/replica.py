"""The state machine behind the log: applies entries to the state and tells the watchers."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from common.codec import decode, encode
from common.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    NotLeaderError,
    StaleVersionError,
    SwarmdError,
)
from manager.raft.log import REQUESTS_REMEMBERED
from manager.store.apply import effects
from manager.store.changes import Entry
from manager.store.snapshot import Copies, pack_snapshot, unpack_snapshot
from manager.store.state import State
from manager.store.watch import Committed, Watchers

ACCEPTED = b""
"""The answer to an entry that was applied."""


class ReignOverError(NotLeaderError):
    """What was proposed was decided by a manager that leads no more."""


REFUSALS: dict[str, type[SwarmdError]] = {
    kind.__name__: kind
    for kind in (
        StaleVersionError,
        ConflictError,
        NotFoundError,
        InvalidInputError,
        ReignOverError,
    )
}
"""What an entry can be refused with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The answer to an entry that changed nothing."""

    kind: str
    message: str
    hint: str | None = None


class Replica:
    """One manager's copy of the state."""

    def __init__(self) -> None:
        self.state = State()
        self.watchers = Watchers()
        self._own: dict[bytes, Entry] = {}
        self._answered: dict[bytes, bytes] = {}
        self._oldest: deque[bytes] = deque()
        """The requests that are remembered, in their order; a dict alone would search for its first."""

    def expect(self, request_id: bytes, entry: Entry) -> None:
        """Keeps an entry that was proposed here, so that it need not be decoded when it comes back."""
        self._own[request_id] = entry

    def forget(self, request_id: bytes) -> None:
        """Lets go of an entry that will not come back, or that may come whenever it likes."""
        self._own.pop(request_id, None)

    def apply(self, index: int, request_id: bytes, data: bytes) -> bytes:
        """Applies a committed entry: all of it, or nothing and the answer says why.

        An entry that was proposed again is not applied again: it gets the answer of the first time.
        """
        entry = self._own.pop(request_id, None)
        answer = self._answered.get(request_id)
        if answer is None:
            answer = self._answer(index, entry or decode(Entry, data))
            self._remember(request_id, answer)
        self.state.index = index
        return answer

    def snapshot(self) -> Iterator[bytes]:
        """The whole state as it is now, in parts. Called in the event loop; the iterator belongs into a thread."""
        copies = Copies(
            index=self.state.index,
            reign=self.state.reign,
            objects=self.state.objects(),
            requests=[*self._oldest],
            answers=[*self._answered.values()],
        )
        return pack_snapshot(copies)

    def restore(self, parts: Iterable[bytes]) -> Callable[[], None]:
        """Reads what ``snapshot`` gave, in a thread; what it answers, called in the event loop, makes it the state.

        Watchers are told to look at everything again.

        Raises:
            SnapshotUnreadableError: it is damaged, or of another version.
        """
        contents = unpack_snapshot(parts)
        oldest = deque(contents.answered)

        def become() -> None:
            self.state.become(contents.state)
            self._answered, self._oldest = contents.answered, oldest
            self.watchers.miss()

        return become

    def _remember(self, request_id: bytes, answer: bytes) -> None:
        self._answered[request_id] = answer
        self._oldest.append(request_id)
        if len(self._oldest) > REQUESTS_REMEMBERED:
            del self._answered[self._oldest.popleft()]

    def _answer(self, index: int, entry: Entry) -> bytes:
        try:
            if entry.reign not in (0, self.state.reign):
                raise ReignOverError("another manager leads the swarm by now")
            changed = effects(self.state, entry, index)
        except tuple(REFUSALS.values()) as refused:
            return encode(
                Refusal(kind=type(refused).__name__, message=refused.message, hint=refused.hint)
            )
        self.state.put(index, changed)
        if entry.begins_reign:
            self.state.reign = index
        if changed:
            self.watchers.tell(Committed(index, entry.at, changed))
        return ACCEPTED


def raise_refusal(answer: bytes) -> None:
    """Raises what an answer of ``Replica.apply`` says, when it says that the entry was refused."""
    if answer != ACCEPTED:
        refusal = decode(Refusal, answer)
        raise REFUSALS[refusal.kind](refusal.message, hint=refusal.hint)
