import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.raft.quorum import agreed, is_majority, majority_of

MAJORITIES = {1: 1, 2: 2, 3: 2, 4: 3, 5: 3, 6: 4, 7: 4}
AGREED = {
    "nobody": ([], 0),
    "one decides alone": ([7], 7),
    "of two both must have it": ([7, 3], 3),
    "of three two": ([7, 3, 5], 5),
    "of four three": ([9, 7, 3, 5], 5),
    "of five three": ([1, 9, 7, 3, 5], 5),
    "those that lag do not hold the others up": ([0, 0, 4, 4, 4], 4),
}


@pytest.mark.parametrize(("members", "expected"), MAJORITIES.items())
def test_a_majority(members: int, expected: int) -> None:
    assert majority_of(members) == expected


@pytest.mark.parametrize(("values", "expected"), AGREED.values(), ids=AGREED.keys())
def test_what_is_agreed(values: list[int], expected: int) -> None:
    assert agreed(values) == expected


@given(st.lists(st.integers(0, 9), min_size=1, max_size=7))
def test_a_majority_has_what_is_agreed_and_none_has_more(values: list[int]) -> None:
    found = agreed(values)
    assert sum(value >= found for value in values) >= majority_of(len(values))
    assert sum(value > found for value in values) < majority_of(len(values))


def test_only_members_count_for_a_majority() -> None:
    assert not is_majority({"a", "x", "y"}, {"a", "b", "c"})
    assert is_majority({"a", "b"}, {"a", "b", "c"})
    assert not is_majority({"a"}, {"a", "b"})
    assert not is_majority({"a"}, set())
