"""Processes that an OCI runtime makes come to the supervisor as orphans: who is expected, and who ended before that."""

EARLY_ENDS_MAX = 4096
"""Ends kept of orphans that nobody has named yet; beyond it the oldest is forgotten."""


class Births:
    """Makers are children that run a runtime; what they have made is named by their reports."""

    def __init__(self) -> None:
        self._makers: set[int] = set()
        self._ended: dict[int, int] = {}

    def begin(self, maker: int) -> None:
        """A maker was forked; it has not been reaped."""
        self._makers.add(maker)

    def end(self, pid: int, status: int, *, is_known: bool) -> None:
        """A child has ended; one that nobody knows may be an orphan whose maker has still to name it."""
        self._makers.discard(pid)
        if self._makers and not is_known:
            self._ended[pid] = status
        if not self._makers:
            self._ended.clear()
        if len(self._ended) > EARLY_ENDS_MAX:
            del self._ended[next(iter(self._ended))]

    def status(self, pid: int) -> int | None:
        """What an orphan ended with that a maker has named just now; None while it lives."""
        return self._ended.pop(pid, None)
