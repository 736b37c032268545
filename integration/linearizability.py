"""Whether a history of reads and compare-and-sets can have happened one after the other, each at one moment.

The search is Wing and Gong's with Lowe's memory of what was tried, as in Porcupine: a list of calls and returns in
the order of time; from its head, an operation that was called before any other returned may have happened first.
What does not change the state is taken as soon as it fits (it cannot harm what follows; a write can, which may be
needed later to undo another one), everything else is tried in turn. Each key is a register of its own, so each is
searched alone.

Nothing here does input or output or reads a clock: the bound is a number of steps, and more than that is "undecided".
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from typing_extensions import override

STEPS_MAX = 2_000_000
"""How many operations are tried on a key before its history is called undecided."""
STUCK_SHOWN_MAX = 8

Value = Hashable
"""What a register holds. Write each value once only: then a history can tell lost and doubled writes apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """The register was seen to hold ``value``."""

    value: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """``value`` was put there, whatever was there before."""

    value: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """``value`` was put there because ``expected`` was there. Of unknown outcome: it may have found something else."""

    expected: Value
    value: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A compare-and-set answered that something else than ``expected`` was there."""

    expected: Value


Action = Read | Write | Swap | Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing a client did. What surely did not happen is not in a history."""

    client: str
    key: str
    action: Action
    called: float
    returned: float | None
    """None: the outcome is unknown. It may happen at any time after the call, or never."""


class Outcome(StrEnum):
    """What was found."""

    LINEARIZABLE = "linearizable"
    NOT_LINEARIZABLE = "not linearizable"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found about a history, and where it went wrong."""

    outcome: Outcome
    key: str = ""
    """The key that it went wrong with."""
    value: Value = None
    """What the register held after the longest order that was found,"""
    stuck: tuple[Operation, ...] = ()
    """and operations, the earliest first, that cannot come after it."""

    def __bool__(self) -> bool:
        """Whether all is well."""
        return self.outcome is Outcome.LINEARIZABLE

    @override
    def __str__(self) -> str:
        """A paragraph for whoever reads of a failure."""
        if self:
            return str(self.outcome)
        rest = "".join(f"\n  {operation}" for operation in self.stuck)
        return (
            f"{self.outcome}: with {self.key} holding {self.value!r}, none can come next of{rest}"
        )


def check(
    history: Iterable[Operation], initial: Value = None, *, steps_max: int = STEPS_MAX
) -> Verdict:
    """Whether every key's operations fit into one order that agrees with time and with a register.

    The first key that does not is told; a key that took too long only when no other is wrong.
    """
    keys: dict[str, list[Operation]] = {}
    for operation in history:
        keys.setdefault(operation.key, []).append(operation)
    found = Verdict(outcome=Outcome.LINEARIZABLE)
    for key in sorted(keys):
        verdict = _Search(key, keys[key], initial).run(steps_max)
        if verdict.outcome is Outcome.NOT_LINEARIZABLE:
            return verdict
        found = found and verdict
    return found


class _Impossible:
    """Stands for the state after something that cannot happen."""


_IMPOSSIBLE = _Impossible()


def _after(action: Action, state: Value, *, is_known: bool) -> Value | _Impossible:
    """What the register holds once ``action`` has happened to ``state``."""
    match action:
        case Read(value=value):
            return state if value == state else _IMPOSSIBLE
        case Write(value=value):
            return value
        case Swap(expected=expected, value=value):
            return value if expected == state else (_IMPOSSIBLE if is_known else state)
        case Refusal(expected=expected):
            return state if expected != state else _IMPOSSIBLE


@dataclass(frozen=True, slots=True)
class _Step:
    """An operation that was put next in the order."""

    entry: int
    before: Value
    is_forced: bool
    """It changed nothing, so no other choice in its place could do better."""


class _Search:
    """The search on one key. Entries of the list are numbered from 1; 0 is the head, and the end."""

    def __init__(self, key: str, operations: Sequence[Operation], initial: Value) -> None:
        self._key = key
        self._operations = [
            operation
            for operation in sorted(operations, key=lambda operation: operation.called)
            if operation.returned is not None or isinstance(operation.action, Write | Swap)
        ]
        self._state: Value = initial
        self._left = sum(operation.returned is not None for operation in self._operations)
        self._taken = 0
        """A bit for each operation that has its place in the order."""
        self._steps: list[_Step] = []
        self._tried: set[tuple[int, Value]] = set()
        self._link_entries()
        self._best = (self._left, self._taken, self._state)

    def _link_entries(self) -> None:
        """The list: calls and returns in the order of time, a call before a return of the same moment."""
        events: list[tuple[float, int, int]] = []
        for number, operation in enumerate(self._operations):
            events.append((operation.called, 0, number))
            if operation.returned is not None:
                events.append((operation.returned, 1, number))
        events.sort()
        count = len(events) + 1
        self._number: list[int] = [-1, *(number for _, _, number in events)]
        self._is_call = [False, *(kind == 0 for _, kind, _ in events)]
        self._next: list[int] = [*range(1, count), 0]
        self._previous: list[int] = [count - 1, *range(count - 1)]
        self._return_of = [0] * len(self._operations)
        for entry in range(1, count):
            if not self._is_call[entry]:
                self._return_of[self._number[entry]] = entry

    def run(self, steps_max: int) -> Verdict:
        """Searches until there is an order, or none, or ``steps_max`` operations were tried."""
        entry = self._next[0]
        for _ in range(steps_max):
            if not self._left:
                return Verdict(outcome=Outcome.LINEARIZABLE)
            if entry and self._is_call[entry]:
                entry = self._next[0] if self._take(entry) else self._next[entry]
            elif (back := self._give_back()) is None:
                return self._failure(Outcome.NOT_LINEARIZABLE)
            else:
                entry = back
        return self._failure(Outcome.UNDECIDED)

    def _take(self, entry: int) -> bool:
        """Puts an operation next in the order, when it can be there and that was not tried before."""
        number = self._number[entry]
        operation = self._operations[number]
        is_known = operation.returned is not None
        after = _after(operation.action, self._state, is_known=is_known)
        if isinstance(after, _Impossible):
            return False
        changes_nothing = after == self._state
        if changes_nothing and not is_known:
            return False  # it may as well never happen
        taken = self._taken | 1 << number
        is_forced = changes_nothing and not isinstance(operation.action, Write)
        if not is_forced:
            if (taken, after) in self._tried:
                return False
            self._tried.add((taken, after))
        self._steps.append(_Step(entry, self._state, is_forced=is_forced))
        self._taken, self._state = taken, after
        self._left -= is_known
        self._lift(entry)
        if self._left < self._best[0]:
            self._best = (self._left, taken, after)
        return True

    def _give_back(self) -> int | None:
        """Undoes the last step that was a choice; gives the entry to try instead, None when no choice is left."""
        while self._steps:
            step = self._steps.pop()
            number = self._number[step.entry]
            self._put_back(step.entry)
            self._taken &= ~(1 << number)
            self._state = step.before
            self._left += self._operations[number].returned is not None
            if not step.is_forced:
                return self._next[step.entry]
        return None

    def _lift(self, entry: int) -> None:
        self._unlink(entry)
        if end := self._return_of[self._number[entry]]:
            self._unlink(end)

    def _put_back(self, entry: int) -> None:
        if end := self._return_of[self._number[entry]]:
            self._relink(end)
        self._relink(entry)

    def _unlink(self, entry: int) -> None:
        before, after = self._previous[entry], self._next[entry]
        self._next[before], self._previous[after] = after, before

    def _relink(self, entry: int) -> None:
        self._next[self._previous[entry]] = self._previous[self._next[entry]] = entry

    def _failure(self, outcome: Outcome) -> Verdict:
        _, taken, state = self._best
        waiting = [
            operation
            for number, operation in enumerate(self._operations)
            if operation.returned is not None and not taken >> number & 1
        ]
        return Verdict(
            outcome=outcome, key=self._key, value=state, stuck=tuple(waiting[:STUCK_SHOWN_MAX])
        )
