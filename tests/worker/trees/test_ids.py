"""Owners of files in a container with a user namespace."""

from hypothesis import given
from hypothesis import strategies as st

from worker.trees.ids import EVERY_ID, OVERFLOW_ID, id_runs, to_inside, to_outside

REMAPPED = id_runs("         0     100000      65536\n")


def test_ids_of_a_remapped_container() -> None:
    assert to_inside(100_000, REMAPPED) == 0
    assert to_outside(1000, REMAPPED) == 101_000
    assert to_inside(0, REMAPPED) == OVERFLOW_ID
    assert to_outside(70_000, REMAPPED) is None


@given(st.integers(0, 2**32 - 2))
def test_without_a_user_namespace_both_are_the_same(number: int) -> None:
    assert to_inside(number, EVERY_ID) == number == to_outside(number, EVERY_ID)
    assert id_runs("0 0 4294967295\n") == EVERY_ID


@given(st.integers(0, 65_535))
def test_there_and_back(number: int) -> None:
    outside = to_outside(number, REMAPPED)

    assert outside is not None
    assert to_inside(outside, REMAPPED) == number
