"""What a decision about a service sees."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from common.model.node import Node
from common.model.service import Service
from common.model.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceView:
    """A service with its tasks, and the nodes by id to look up those that its tasks are on."""

    service: Service
    tasks: Collection[Task]
    nodes: Mapping[str, Node]

    def node_of(self, task: Task) -> Node | None:
        """The node of a task; None when it has none yet, or when that node is gone."""
        return self.nodes.get(task.node_id)
