"""Ids of owners in a container with a user namespace, from those that the host sees and back. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

OVERFLOW_ID = 65534
"""What an id that the container does not have looks like in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdRun:
    """Ids in a row."""

    inside: int
    outside: int
    size: int


def id_runs(text: str) -> tuple[IdRun, ...]:
    """Reads ``/proc/<pid>/uid_map`` as a process outside of the namespace sees it."""
    rows = (tuple(map(int, line.split())) for line in text.splitlines())
    return tuple(IdRun(inside=row[0], outside=row[1], size=row[2]) for row in rows)


def to_inside(number: int, runs: Sequence[IdRun]) -> int:
    """The container's id of an owner."""
    for run in runs:
        if run.outside <= number < run.outside + run.size:
            return number - run.outside + run.inside
    return OVERFLOW_ID


def to_outside(number: int, runs: Sequence[IdRun]) -> int | None:
    """The host's id of an owner that the container names; None for one that it does not have."""
    for run in runs:
        if run.inside <= number < run.inside + run.size:
            return number - run.inside + run.outside
    return None


EVERY_ID = (IdRun(inside=0, outside=0, size=2**32 - 1),)
"""Without a user namespace both are the same."""
