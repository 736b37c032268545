"""Giving a task up of which its node will say nothing more. Pure."""

from common.model.task import Task, TaskState, TaskStatus
from manager.store.changes import ObserveTask


def given_up(task: Task, now: float, why: str) -> ObserveTask:
    """The task is ORPHANED from now on; what is known of its container is kept."""
    status = TaskStatus(
        timestamp=now,
        state=TaskState.ORPHANED,
        message=why,
        container_status=task.status.container_status,
    )
    return ObserveTask(task_id=task.id, node_id=task.node_id, status=status)
