"""A node may carry only so many tasks of one service."""

from collections.abc import Mapping

from manager.scheduler.node_load import NodeLoad


class MaxReplicas:
    """Unlike the others it is made for a service, since it counts that service's tasks."""

    def __init__(self, limit: int, service_tasks: Mapping[NodeLoad, int]) -> None:
        self._limit = limit
        self._service_tasks = service_tasks

    def room(self, load: NodeLoad) -> int:
        """What is left of the limit."""
        return max(self._limit - self._service_tasks.get(load, 0), 0)

    def explain(self, nodes: int) -> str:  # noqa: ARG002 - SwarmKit names no number here
        """SwarmKit's words."""
        return "max replicas per node limit exceed"
