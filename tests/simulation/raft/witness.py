"""Linearizability, with the log's own order as the witness: no search is needed.

Each answer says at which index of the log an operation took effect (for a read: how far the state had come that it
saw). That is an order of all operations. It is a linearization when no operation that began after another one had
ended comes before it; and what each one saw is right when all members agree on what stands at each index, which the
invariants check. So a history passes here only if it is linearizable, over all registers together.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Begun:
    """An operation that was invoked."""

    at_least: int
    """The highest index that any operation had seen when this one began."""
    what: str


class Witness:
    """What all clients together have seen so far."""

    def __init__(self) -> None:
        self.highest = 0
        self.last = "nothing"
        self.reads, self.writes = 0, 0

    def begin(self, what: str) -> Begun:
        """An operation is invoked."""
        return Begun(self.highest, what)

    def end(self, begun: Begun, index: int, *, is_read: bool) -> str | None:
        """It is answered. Gives what is wrong, if anything is."""
        self.reads += is_read
        self.writes += not is_read
        fine = index >= begun.at_least if is_read else index > begun.at_least
        if not fine:
            return (
                f"{begun.what} saw the state at entry {index}, but before it began, "
                f"entry {begun.at_least} had been seen (last by {self.last})"
            )
        if index > self.highest:
            self.highest, self.last = index, begun.what
        return None
