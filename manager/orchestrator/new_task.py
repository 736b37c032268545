"""A task out of a service's spec."""

from common.model.service import Service
from common.model.task import Task, TaskState, TaskStatus


def new_task(
    service: Service, *, task_id: str, now: float, slot: int = 0, node_id: str = ""
) -> Task:
    """A task that is to run as the service now says; ``node_id`` only for global services."""
    return Task(
        id=task_id,
        created_at=now,
        service_id=service.id,
        service_name=service.spec.name,
        service_labels=service.spec.labels,
        slot=slot,
        node_id=node_id,
        spec=service.spec.task_template,
        spec_version=service.spec_version,
        desired_state=TaskState.RUNNING,
        status=TaskStatus(timestamp=now, state=TaskState.NEW, message="created"),
    )
