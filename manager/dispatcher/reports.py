"""Pure: what agents say, as wishes to write."""

from collections.abc import Callable, Iterable
from typing import Final

from common.model.copy import changed
from common.model.node import NodeDescription, NodeState, NodeStatus
from common.model.task import Task, TaskState, TaskStatus
from common.protocol.messages import TaskReport
from manager.dispatcher.writer import Wish
from manager.store.changes import Change, ObserveTask, Update
from manager.store.state import State

TEXT_CHARS_MAX: Final = 4096
"""Characters of a message or error that are kept of a report."""
ORPHANED_MESSAGE: Final = "the node has been down for too long"


def observations(node_id: str, reports: Iterable[TaskReport]) -> list[Wish]:
    """What a node's agent saw of its own tasks. What it may not say, or what is known already, is written nowhere."""
    latest = {report.task_id: report.status for report in reports}
    return [
        Wish(key=task_id, change=_observation(node_id, task_id, _bounded(status)))
        for task_id, status in latest.items()
        if TaskState.ACCEPTED <= status.state <= TaskState.REJECTED
    ]


def node_state(node_id: str, state: NodeState, message: str = "") -> Wish:
    """How a node fares."""

    def change(seen: State) -> Change | None:
        node = seen.nodes.get(node_id)
        if node is None:
            return None
        status = NodeStatus(state=state, message=message, addr=node.status.addr)
        return None if status == node.status else Update(object=changed(node, status=status))

    return Wish(key=node_id, change=change)


def registration(node_id: str, description: NodeDescription, address: str) -> Wish:
    """The node's agent is here, and this is its machine."""

    def change(seen: State) -> Change | None:
        node = seen.nodes.get(node_id)
        if node is None:
            return None
        status = NodeStatus(state=NodeState.READY, addr=address or node.status.addr)
        if (status, description) == (node.status, node.description):
            return None
        return Update(object=changed(node, status=status, description=description))

    return Wish(key=node_id, change=change)


def orphans(node_id: str, tasks: Iterable[Task], now: float) -> list[Wish]:
    """Gives up the tasks of a node that has been down for too long: nobody knows what became of them."""
    return [
        Wish(key=task.id, change=_observation(node_id, task.id, _orphaned(task.status, now)))
        for task in tasks
        if TaskState.ASSIGNED <= task.status.state <= TaskState.RUNNING
    ]


def _observation(
    node_id: str, task_id: str, status: TaskStatus
) -> Callable[[State], Change | None]:
    def change(seen: State) -> Change | None:
        task = seen.tasks.get(task_id)
        if task is None or task.node_id != node_id or status.state < task.status.state:
            return None
        if changed(status, applied_at=task.status.applied_at) == task.status:
            return None
        return ObserveTask(task_id=task_id, node_id=node_id, status=status)

    return change


def _bounded(status: TaskStatus) -> TaskStatus:
    if len(status.err) <= TEXT_CHARS_MAX and len(status.message) <= TEXT_CHARS_MAX:
        return status
    return changed(status, err=status.err[:TEXT_CHARS_MAX], message=status.message[:TEXT_CHARS_MAX])


def _orphaned(status: TaskStatus, now: float) -> TaskStatus:
    return changed(status, state=TaskState.ORPHANED, timestamp=now, message=ORPHANED_MESSAGE)
