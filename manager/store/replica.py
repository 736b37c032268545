"""The state machine behind the log: applies entries to the state and tells the watchers."""

from collections import OrderedDict
from dataclasses import dataclass

from common.codec import decode, encode
from common.errors import ConflictError, NotFoundError, StaleVersionError, SwarmdError
from manager.store.apply import effects
from manager.store.changes import Entry
from manager.store.state import State
from manager.store.watch import Committed, Watchers

ACCEPTED = b""
"""The answer to an entry that was applied."""
ANSWERS_REMEMBERED = 4096
"""Requests remembered so that one that is proposed again applies once; the same on every manager."""

REFUSALS: dict[str, type[SwarmdError]] = {
    kind.__name__: kind for kind in (StaleVersionError, ConflictError, NotFoundError)
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
        self._answered: OrderedDict[bytes, bytes] = OrderedDict()

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
            self._answered[request_id] = answer
            if len(self._answered) > ANSWERS_REMEMBERED:
                self._answered.popitem(last=False)
        self.state.index = index
        return answer

    def _answer(self, index: int, entry: Entry) -> bytes:
        try:
            changed = effects(self.state, entry, index)
        except tuple(REFUSALS.values()) as refused:
            return encode(
                Refusal(kind=type(refused).__name__, message=refused.message, hint=refused.hint)
            )
        self.state.put(index, changed)
        if changed:
            self.watchers.tell(Committed(index, entry.at, changed))
        return ACCEPTED


def raise_refusal(answer: bytes) -> None:
    """Raises what an answer of ``Replica.apply`` says, when it says that the entry was refused."""
    if answer != ACCEPTED:
        refusal = decode(Refusal, answer)
        raise REFUSALS[refusal.kind](refusal.message, hint=refusal.hint)
