"""How many certificates may be given at once and in a row. Pure."""

from collections.abc import Collection
from typing import Final

BURST_MAX: Final = 500
"""Certificates in a row: a whole cluster that joins at once."""
PER_SECOND: Final = 50.0
"""Certificates in the long run: signing one holds the event loop for less than a millisecond."""
NODE_BURST_MAX: Final = 12
"""Renewals in a row of one node: of its roles and of the roots that may change."""
NODE_SECONDS: Final = 30.0
"""Seconds to one renewal of a node in the long run."""
NODES_REMEMBERED_MIN: Final = 1024
"""Paces of nodes remembered before those are forgotten whose nodes are gone."""


class Pace:
    """Gives leave to go on; what is not used of it is saved up to a burst."""

    def __init__(self, burst: float = BURST_MAX, per_second: float = PER_SECOND) -> None:
        self._burst, self._per_second = burst, per_second
        self._left, self._at = float(burst), 0.0

    def take(self, now: float) -> bool:
        """Whether one more may be given at the moment ``now`` (monotonic)."""
        if self._at:
            self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class NodePaces:
    """A pace for each node, so that one that asks in a loop takes nothing from the others."""

    def __init__(self) -> None:
        self._paces: dict[str, Pace] = {}

    def take(self, node_id: str, now: float, nodes: Collection[str]) -> bool:
        """Whether this node may have one more at the moment ``now`` (monotonic); ``nodes`` are those of the list."""
        if len(self._paces) >= 2 * max(NODES_REMEMBERED_MIN, len(nodes)):
            self._paces = {known: pace for known, pace in self._paces.items() if known in nodes}
        pace = self._paces.get(node_id)
        if pace is None:
            pace = self._paces[node_id] = Pace(NODE_BURST_MAX, 1 / NODE_SECONDS)
        return pace.take(now)
