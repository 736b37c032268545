from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integration.linearizability import (
    Action,
    Operation,
    Outcome,
    Read,
    Refusal,
    Swap,
    Value,
    Write,
    check,
)


def op(
    called: float, returned: float | None, action: Action, *, key: str = "k", client: str = "c"
) -> Operation:
    return Operation(client=client, key=key, action=action, called=called, returned=returned)


def read(value: Value) -> Read:
    return Read(value=value)


def swap(expected: Value, value: Value) -> Swap:
    return Swap(expected=expected, value=value)


GOOD: dict[str, Sequence[Operation]] = {
    "nothing happened": [],
    "one after the other": [op(0, 1, swap(None, 1)), op(2, 3, read(1)), op(4, 5, swap(1, 2))],
    "a read beside a write sees the old value": [op(0, 9, swap(None, 1)), op(1, 2, read(None))],
    "a read beside a write sees the new value": [op(0, 9, swap(None, 1)), op(1, 2, read(1))],
    "a read and a write that touch in time": [op(0, 5, swap(None, 1)), op(5, 6, read(None))],
    "swaps that overlap, in the only order that fits": [
        op(0, 9, swap(2, 3)), op(1, 8, swap(1, 2)), op(2, 7, swap(None, 1)), op(10, 11, read(3)),
    ],
    "a write of unknown outcome that never happened": [
        op(0, None, swap(None, 1)), op(2, 3, read(None)), op(4, 5, swap(None, 2)), op(6, 7, read(2)),
    ],
    "a write of unknown outcome that happened late": [
        op(0, None, swap(None, 1)), op(2, 3, read(None)), op(4, 5, read(1)),
    ],
    "a write of unknown outcome that something else was built on": [
        op(0, None, swap(None, 1)), op(4, 5, swap(1, 2)), op(6, 7, read(2)),
    ],
    "a read of unknown outcome says nothing": [op(0, 1, Write(value=1)), op(2, None, read(7))],
    "a refusal while something else is there": [
        op(0, 1, swap(None, 1)), op(2, 3, Refusal(expected=None)),
    ],
    "a write of what is there already, which undoes another one of its moment": [
        op(0, 0, Write(value=None)), op(0, 0, Write(value=1)), op(1, 1, read(None)),
    ],
    "a refusal beside the write that caused it": [
        op(0, 9, swap(None, 1)), op(1, 2, Refusal(expected=None)),
    ],
    "keys have nothing to do with each other": [
        op(0, 1, Write(value=1)), op(2, 3, Write(value=5), key="other"), op(4, 5, read(1)),
    ],
}  # fmt: skip
BAD: dict[str, Sequence[Operation]] = {
    "stale read": [op(0, 1, swap(None, 1)), op(2, 3, read(None))],
    "stale read, long after": [
        op(0, 1, swap(None, 1)), op(2, 3, swap(1, 2)), op(4, 5, swap(2, 3)), op(6, 7, read(1)),
    ],
    "time runs backwards between two readers": [
        op(0, 99, swap(None, 1)), op(1, 2, read(1)), op(3, 4, read(None)),
    ],
    "lost update: acknowledged, then gone": [
        op(0, 1, swap(None, 1)), op(2, 3, swap(None, 2)),
    ],
    "lost update: two built on the same value": [
        op(0, 1, swap(None, 1)), op(2, 9, swap(1, 2)), op(3, 8, swap(1, 3)),
    ],
    "double apply: a value is back after it was replaced": [
        op(0, None, swap(None, 1)), op(2, 3, swap(1, 2)), op(4, 5, read(1)),
    ],
    "double apply of a plain write": [
        op(0, 1, Write(value=1)), op(2, 3, Write(value=2)), op(4, 5, read(2)), op(6, 7, read(1)),
    ],
    "a value that nobody wrote": [op(0, 1, read(7))],
    "an effect before its cause": [op(0, 1, read(1)), op(2, None, swap(None, 1))],
    "refused though the expected value was there": [
        op(0, 1, swap(None, 1)), op(2, 3, Refusal(expected=1)), op(4, 5, read(1)),
    ],
    "wrong with one key of two": [
        op(0, 1, Write(value=1), key="a"), op(2, 3, read(1), key="a"), op(0, 1, read(1), key="b"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("history", GOOD.values(), ids=GOOD)
def test_accepts(history: Sequence[Operation]) -> None:
    assert check(history).outcome is Outcome.LINEARIZABLE


@pytest.mark.parametrize("history", BAD.values(), ids=BAD)
def test_refuses(history: Sequence[Operation]) -> None:
    assert check(history).outcome is Outcome.NOT_LINEARIZABLE


def test_says_where_it_went_wrong() -> None:
    fine, stale = op(0, 1, swap(None, 1)), op(2, 3, read(None))
    verdict = check([stale, fine])
    assert (verdict.key, verdict.value, verdict.stuck) == ("k", 1, (stale,))
    assert "not linearizable: with k holding 1, none can come next of\n" in str(verdict)


def test_starts_with_the_value_it_is_given() -> None:
    assert check([op(0, 1, read(0))], 0)
    assert not check([op(0, 1, read(0))])


def test_says_when_it_took_too_long() -> None:
    history = [op(0, 9, Write(value=number)) for number in range(9)]
    impossible = op(10, 11, read("never written"))
    assert check([*history, impossible], steps_max=100).outcome is Outcome.UNDECIDED
    assert check([*history, impossible]).outcome is Outcome.NOT_LINEARIZABLE


def test_a_wrong_key_counts_for_more_than_an_undecided_one() -> None:
    slow = [op(0, 9, Write(value=number), key="a") for number in range(9)]
    slow.append(op(10, 11, read("never written"), key="a"))
    verdict = check([*slow, op(0, 1, read(7), key="b")], steps_max=100)
    assert (verdict.outcome, verdict.key) == (Outcome.NOT_LINEARIZABLE, "b")


def test_copes_with_a_long_history_with_many_unknown_outcomes() -> None:
    history, value = [], 0
    for turn in range(1, 3000):
        history.append(op(turn * 10, turn * 10 + 15, swap(value, turn)))
        history.append(op(turn * 10 + 6, turn * 10 + 12, read(turn)))
        if turn % 10 == 0:
            history.append(op(turn * 10, None, swap(value, -turn)))
        value = turn
    assert check(history, 0).outcome is Outcome.LINEARIZABLE
    history.append(op(10**6, 10**6 + 1, read(1500)))
    assert check(history, 0).outcome is Outcome.NOT_LINEARIZABLE


def by_brute_force(history: Sequence[Operation], initial: Value) -> bool:
    """Every order of all that is known, with every subset of what is not."""
    known = [one for one in history if one.returned is not None]
    unknown = [one for one in history if one.returned is None]
    subsets = [
        [one for bit, one in enumerate(unknown) if mask >> bit & 1]
        for mask in range(1 << len(unknown))
    ]
    return any(fits(order, initial) for chosen in subsets for order in permutations([*known, *chosen]))  # fmt: skip


def fits(order: Sequence[Operation], initial: Value) -> bool:
    state, latest_call = initial, float("-inf")
    for one in order:
        if one.returned is not None and one.returned < latest_call:
            return False
        latest_call = max(latest_call, one.called)
        match one.action:
            case Read(value=value) if one.returned is not None and value != state:
                return False
            case Refusal(expected=expected) if one.returned is not None and expected == state:
                return False
            case Swap(expected=expected) if expected != state:
                if one.returned is not None:
                    return False
            case Write(value=value) | Swap(value=value):
                state = value
            case _:
                pass
    return True


values = st.integers(0, 2)
actions: st.SearchStrategy[Action] = st.one_of(
    st.builds(Read, value=values),
    st.builds(Write, value=values),
    st.builds(Swap, expected=values, value=values),
    st.builds(Refusal, expected=values),
)
operations = st.builds(
    lambda called, took, action: op(called, None if took is None else called + took, action),
    called=st.integers(0, 8),
    took=st.none() | st.integers(0, 6),
    action=actions,
)


@settings(max_examples=400, deadline=None)
@given(st.lists(operations, max_size=5))
def test_agrees_with_trying_everything(history: list[Operation]) -> None:
    assert bool(check(history, 0)) == by_brute_force(history, 0)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_accepts_whatever_one_register_did(data: st.DataObject) -> None:
    """Operations that did happen one after the other stay in order when each is said to have taken longer."""
    state, history = 0, []
    for moment in range(data.draw(st.integers(0, 30))):
        match data.draw(st.sampled_from(["read", "write", "swap", "lost"])):
            case "read":
                action: Action = Read(value=state)
            case "write":
                action = Write(value=moment)
            case _:
                action = Swap(expected=state, value=moment)
        state = state if isinstance(action, Read) else moment
        early, late = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 3))
        history.append(op(moment - early, moment + late, action))
        if data.draw(st.booleans()):
            history[-1] = replace(history[-1], returned=None)
    assert check(data.draw(st.permutations(history)), 0).outcome is Outcome.LINEARIZABLE
