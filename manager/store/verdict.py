"""What a decision answers."""

from collections.abc import Callable
from dataclasses import dataclass

from manager.store.changes import Change

NewId = Callable[[], str]
"""Draws the id of an object that a decision creates."""

NEVER = float("inf")
"""A moment that does not come: only a change is a reason to look again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What to propose, and when to look at the same key again even if nothing changes until then."""

    changes: tuple[Change, ...] = ()
    look_again_at: float | None = None
    """Seconds since the epoch; None: only a change is a reason to look again."""


def soonest(*moments: float | None) -> float | None:
    """The earliest of some moments to look again."""
    known = [moment for moment in moments if moment is not None]
    return min(known) if known else None
