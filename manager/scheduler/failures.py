"""Where tasks of a service version failed lately: such nodes are the last choice for its next tasks."""

from collections import deque
from collections.abc import Mapping

from manager.scheduler.node_load import NodeLoad

FAILURES_MAX = 5
"""Failures within the window from which on a node counts as failing (SwarmKit's ``maxFailures``)."""
FAILURE_WINDOW_SECONDS = 300.0
"""SwarmKit's ``monitorFailures``."""
REMEMBERED_MAX = 100_000
"""Failures remembered at all; the oldest are forgotten first."""

ServiceVersion = tuple[str, int]
"""A service's id and the version of its spec."""

_NONE: Mapping[NodeLoad, int] = {}


class Failures:
    """Recent failures by service version and node."""

    def __init__(self) -> None:
        self._moments: dict[ServiceVersion, dict[NodeLoad, deque[float]]] = {}
        self._order: deque[tuple[ServiceVersion, NodeLoad]] = deque()

    def add(self, version: ServiceVersion, load: NodeLoad, at: float) -> None:
        """Records that a task of that version failed there."""
        self._moments.setdefault(version, {}).setdefault(load, deque()).append(at)
        self._order.append((version, load))
        while len(self._order) > REMEMBERED_MAX or self._is_over(self._order[0], at):
            self._forget_first()

    def failing(self, version: ServiceVersion, now: float) -> Mapping[NodeLoad, int]:
        """The nodes on which that version fails too often, with how often."""
        by_node = self._moments.get(version)
        if by_node is None:
            return _NONE
        since = now - FAILURE_WINDOW_SECONDS
        counts = {
            load: sum(at > since for at in moments)
            for load, moments in by_node.items()
            if len(moments) >= FAILURES_MAX
        }
        return {load: count for load, count in counts.items() if count >= FAILURES_MAX}

    def _is_over(self, first: tuple[ServiceVersion, NodeLoad], now: float) -> bool:
        version, load = first
        return self._moments[version][load][0] < now - FAILURE_WINDOW_SECONDS

    def _forget_first(self) -> None:
        version, load = self._order.popleft()
        by_node = self._moments[version]
        by_node[load].popleft()
        if not by_node[load]:
            del by_node[load]
        if not by_node:
            del self._moments[version]
