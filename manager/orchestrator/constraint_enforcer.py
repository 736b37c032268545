"""A node that changed: tasks that it may no longer carry are rejected, so that they move."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from common.disconnect import is_leased
from common.model.node import Availability, Node
from common.model.resources import GenericResource, Resources
from common.model.service import Service
from common.model.task import Task, TaskState, TaskStatus
from manager.orchestrator.dirty import satisfies_placement
from manager.orchestrator.slots import age
from manager.store.changes import ObserveTask, SetDesiredState
from manager.store.verdict import Verdict

_NOTHING_RESERVED = Resources()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """A node with its tasks and their services."""

    node: Node
    tasks: Collection[Task]
    services: Mapping[str, Service]


def decide(view: NodeView, now: float) -> Verdict:
    """Rejects what no longer satisfies its service's constraints, and what no longer fits."""
    if view.node.spec.availability != Availability.ACTIVE:
        return Verdict()  # draining is the orchestrator's; a paused node keeps what it has
    capacity = view.node.description.resources
    units = _Units(capacity.generic_resources)
    cpus, memory = capacity.nano_cpus, capacity.memory_bytes
    rejected: list[ObserveTask | SetDesiredState] = []
    for task in sorted(filter(_is_placed, view.tasks), key=age):
        service = view.services.get(task.service_id)
        reserved = _reservation(task)
        complies = service is None or satisfies_placement(service, view.node)
        fits = reserved.nano_cpus <= cpus and reserved.memory_bytes <= memory
        if not (complies and fits and units.take(task.generic_resources)):
            rejected.append(_rejection(task, now))
            continue
        cpus -= reserved.nano_cpus
        memory -= reserved.memory_bytes
    return Verdict(changes=tuple(rejected))


class _Units:
    """What a node has besides processors and memory, and was not given to a task yet."""

    def __init__(self, has: Sequence[GenericResource]) -> None:
        self._named = {one.named_resource_spec for one in has if one.named_resource_spec}
        counted = [one.discrete_resource_spec for one in has if one.discrete_resource_spec]
        self._counted = {one.kind: one.value for one in counted}

    def take(self, given: Sequence[GenericResource]) -> bool:
        """Takes what a task was given, if all of it is there."""
        named = {one.named_resource_spec for one in given if one.named_resource_spec}
        counted = [one.discrete_resource_spec for one in given if one.discrete_resource_spec]
        if not named <= self._named:
            return False
        if any(one.value > self._counted.get(one.kind, 0) for one in counted):
            return False
        self._named -= named
        for one in counted:
            self._counted[one.kind] -= one.value
        return True


def _is_placed(task: Task) -> bool:
    return (
        TaskState.ASSIGNED <= task.status.state <= TaskState.RUNNING
        and task.desired_state <= TaskState.COMPLETE
    )


def _reservation(task: Task) -> Resources:
    return task.spec.resources.reservations if task.spec.resources else _NOTHING_RESERVED


def _rejection(task: Task, now: float) -> ObserveTask | SetDesiredState:
    if is_leased(task):  # another may run only once this one is known to have stopped
        return SetDesiredState(task_id=task.id, state=TaskState.SHUTDOWN)
    status = TaskStatus(
        timestamp=now,
        state=TaskState.REJECTED,
        message="task rejected by constraint enforcer",
        err="assigned node no longer meets constraints",
        container_status=task.status.container_status,
    )
    return ObserveTask(task_id=task.id, node_id=task.node_id, status=status)
