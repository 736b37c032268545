"""Arithmetic of majorities."""

from collections.abc import Collection, Iterable


def majority_of(members: int) -> int:
    """How many of so many members are a majority."""
    return members // 2 + 1


def is_majority(among: Collection[str], members: Collection[str]) -> bool:
    """Whether more than half of ``members`` are in ``among``; no majority of nobody."""
    return bool(members) and sum(1 for m in members if m in among) >= majority_of(len(members))


def agreed(values: Iterable[int]) -> int:
    """The greatest value that a majority has reached; each member gives one. 0 for nobody."""
    ordered = sorted(values)
    return ordered[(len(ordered) - 1) // 2] if ordered else 0
