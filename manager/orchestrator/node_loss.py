"""Nodes that are down, drained or gone, and what that means for their tasks."""

from collections.abc import Mapping

from common.disconnect import is_leased
from common.model.node import Availability, Node, NodeState
from common.model.task import Task
from manager.orchestrator.slots import has_ended, is_running, was_assigned


def takes_no_tasks(node: Node | None) -> bool:
    """Whether no task may stay on the node: it is gone, down or drained."""
    return (
        node is None
        or node.status.state == NodeState.DOWN
        or node.spec.availability == Availability.DRAIN
    )


def is_lost(task: Task, nodes: Mapping[str, Node]) -> bool:
    """Whether the task must move, since its node takes no tasks.

    One with a lease may run on while its node is down: it is lost only when it is given up (``silence``).
    """
    if not task.node_id or has_ended(task):
        return False
    node = nodes.get(task.node_id)
    return takes_no_tasks(node) and not (_is_only_down(node) and is_leased(task))


def is_leaving(task: Task, nodes: Mapping[str, Node]) -> bool:
    """Whether the task runs on a node that is drained, and whose agent is there to stop it when that is wanted."""
    node = nodes.get(task.node_id)
    return (
        node is not None
        and node.spec.availability == Availability.DRAIN
        and node.status.state != NodeState.DOWN
        and is_running(task)
    )


def will_report_stop(task: Task, nodes: Mapping[str, Node]) -> bool:
    """Whether it is worth waiting for the end of a task that was told to stop: it runs, and its agent can tell."""
    if has_ended(task) or not was_assigned(task):
        return False
    node = nodes.get(task.node_id)
    return node is not None and (node.status.state != NodeState.DOWN or is_leased(task))


def _is_only_down(node: Node | None) -> bool:
    return node is not None and node.spec.availability != Availability.DRAIN
