"""Nodes must have free what the task reserves."""

from manager.scheduler.demand import Demand
from manager.scheduler.filters.filter import UNLIMITED, on_nodes
from manager.scheduler.node_load import NodeLoad


class _Resources:
    """Enough of each resource; limits do not count, only reservations."""

    def __init__(self, demand: Demand) -> None:
        self._nano_cpus = demand.nano_cpus
        self._memory_bytes = demand.memory_bytes
        self._generic = demand.generic

    def room(self, load: NodeLoad) -> int:
        """How often the reservation fits into what is free."""
        room = UNLIMITED
        if self._nano_cpus:
            room = load.free_nano_cpus // self._nano_cpus
        if self._memory_bytes:
            room = min(room, load.free_memory_bytes // self._memory_bytes)
        for kind, count in self._generic:
            room = min(room, load.free_generic(kind) // count)
        return max(room, 0)

    def explain(self, nodes: int) -> str:
        """SwarmKit's words."""
        return on_nodes("insufficient resources", nodes)


def resource_filter(demand: Demand) -> _Resources | None:
    """The filter for a demand, when it reserves something."""
    reserves = demand.nano_cpus or demand.memory_bytes or demand.generic
    return _Resources(demand) if reserves else None
