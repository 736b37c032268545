"""Ports published in host mode must be free on the node."""

from common.model.endpoint import Protocol
from manager.scheduler.demand import Demand
from manager.scheduler.filters.filter import on_nodes
from manager.scheduler.node_load import NodeLoad


class _HostPorts:
    """None of these is taken by a task there."""

    def __init__(self, ports: tuple[tuple[Protocol, int], ...]) -> None:
        self._ports = ports

    def room(self, load: NodeLoad) -> int:
        """One task, or none."""
        return 0 if any(port in load.host_ports for port in self._ports) else 1

    def explain(self, nodes: int) -> str:
        """SwarmKit's words."""
        return on_nodes("host-mode port already in use", nodes)


def host_port_filter(demand: Demand) -> _HostPorts | None:
    """The filter for a demand, when it publishes ports on its host."""
    return _HostPorts(demand.host_ports) if demand.host_ports else None
