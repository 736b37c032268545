"""Nodes that are down, drained or gone, and what that means for their tasks."""

from collections.abc import Mapping

from common.model.node import Availability, Node, NodeState
from common.model.task import Task
from manager.orchestrator.slots import has_ended, was_assigned


def takes_no_tasks(node: Node | None) -> bool:
    """Whether no task may stay on the node: it is gone, down or drained."""
    return (
        node is None
        or node.status.state == NodeState.DOWN
        or node.spec.availability == Availability.DRAIN
    )


def is_lost(task: Task, nodes: Mapping[str, Node]) -> bool:
    """Whether the task must move, since its node takes no tasks."""
    return bool(task.node_id) and not has_ended(task) and takes_no_tasks(nodes.get(task.node_id))


def will_report_stop(task: Task, nodes: Mapping[str, Node]) -> bool:
    """Whether it is worth waiting for the end of a task that was told to stop: it runs, and its agent can tell."""
    if has_ended(task) or not was_assigned(task):
        return False
    node = nodes.get(task.node_id)
    return node is not None and node.status.state != NodeState.DOWN
