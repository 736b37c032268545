"""Nodes must be up and open for new tasks."""

from manager.scheduler.filters.filter import UNLIMITED
from manager.scheduler.node_load import NodeLoad


class _Ready:
    """State ready and availability active."""

    def room(self, load: NodeLoad) -> int:
        """All or nothing."""
        return UNLIMITED if load.is_ready else 0

    def explain(self, nodes: int) -> str:
        """SwarmKit's words."""
        return f"{nodes} node{'' if nodes == 1 else 's'} not available for new tasks"


READY = _Ready()
