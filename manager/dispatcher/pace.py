"""Pure: how much one node may say, so that none of them occupies the leader."""

from collections import deque
from typing import Final

REGISTRATIONS_MAX: Final = 3
"""Sessions that a node may open within ``REGISTRATIONS_SECONDS``; a further one is refused."""
REGISTRATIONS_SECONDS: Final = 8.0


class Registrations:
    """When each node has registered lately."""

    def __init__(self) -> None:
        self._at: dict[str, deque[float]] = {}

    def admit(self, node_id: str, now: float) -> bool:
        """Counts a registration; False: there were too many, and this one does not count."""
        at = self._at.setdefault(node_id, deque(maxlen=REGISTRATIONS_MAX))
        while at and at[0] <= now - REGISTRATIONS_SECONDS:
            at.popleft()
        if len(at) >= REGISTRATIONS_MAX:
            return False
        at.append(now)
        return True

    def exhaust(self, node_id: str, now: float) -> None:
        """A node was out of order: it is not heard again for ``REGISTRATIONS_SECONDS``."""
        self._at[node_id] = deque([now] * REGISTRATIONS_MAX, maxlen=REGISTRATIONS_MAX)

    def forget(self, node_id: str) -> None:
        """The node is no part of the swarm any more."""
        self._at.pop(node_id, None)


class Allowance:
    """So much at once, and so much a second in the long run."""

    def __init__(self, burst: float, per_second: float, now: float) -> None:
        self._burst, self._per_second = burst, per_second
        self._left, self._at = burst, now

    def take(self, amount: float, now: float) -> float:
        """Takes an amount; how many seconds it takes until it was to be had (0.0: now)."""
        self._left = min(self._burst, self._left + (now - self._at) * self._per_second) - amount
        self._at = now
        return max(0.0, -self._left / self._per_second)
