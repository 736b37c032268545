"""Which tasks of the past are forgotten (SwarmKit's task reaper)."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from common.model.node import Node
from common.model.service import Service
from common.model.task import Task, TaskState
from manager.orchestrator.restart import policy_of
from manager.orchestrator.slots import (
    Slot,
    age,
    by_node,
    by_number,
    ended_by_itself,
    has_ended,
    is_wanted,
    was_assigned,
)
from manager.orchestrator.update import first_of_version, is_under_way
from manager.store.changes import Delete
from manager.store.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryView:
    """The tasks of a service, which may be gone already."""

    service: Service | None
    tasks: Collection[Task]
    nodes: Mapping[str, Node]
    limit: int
    """Tasks kept in each slot, the running one included; negative keeps all."""


def decide(view: HistoryView) -> Verdict:
    """Deletes tasks that are to be removed and have stopped, and the oldest of each slot beyond the limit."""
    gone = [task for task in view.tasks if _is_finished(task, view.nodes)]
    if view.service is not None:
        for slot in _slots_with_a_past(view.tasks):
            gone += _forgettable(slot, view.service, view.limit)
    return Verdict(changes=tuple(map(_delete, gone)))


def _delete(task: Task) -> Delete:
    return Delete(table="task", id=task.id, basis=task.version)


def _is_finished(task: Task, nodes: Mapping[str, Node]) -> bool:
    """Whether a task that is to be removed has nothing running for it any more."""
    return task.desired_state == TaskState.REMOVE and (
        has_ended(task) or not was_assigned(task) or task.node_id not in nodes
    )


def _slots_with_a_past(tasks: Collection[Task]) -> list[Slot]:
    if all(map(is_wanted, tasks)):
        return []
    slots: Iterable[Slot]
    is_global = any(task.slot == 0 for task in tasks)
    slots = by_node(tasks).values() if is_global else by_number(tasks).values()
    return [slot for slot in slots if slot.past]


def _forgettable(slot: Slot, service: Service, limit: int) -> list[Task]:
    """What was stopped before any node had it, and the oldest that ended, until no more than the limit are left."""
    needed = _needed(slot, service)
    idle = [task for task in slot.past if not was_assigned(task) and task.id not in needed]
    if limit < 0:
        return idle
    surplus = len(slot.past) + len(slot.wanted) - len(idle) - limit
    ended = [task for task in slot.past if has_ended(task) and task.id not in needed]
    return [*idle, *ended[: max(surplus, 0)]]


def _needed(slot: Slot, service: Service) -> set[str]:
    """Tasks that decisions still read: attempts, how the slot stands, how long a restart waits, how an update fares."""
    attempts = max((policy_of(task).max_attempts or 0 for task in slot.tasks), default=0)
    ends = [task.id for task in slot.past if ended_by_itself(task)] if attempts else []
    needed = set(ends[-attempts - 1 :])
    if any(task.desired_state < TaskState.RUNNING for task in slot.wanted):
        needed.add(max(slot.past, key=age).id)
    if not slot.wanted and slot.last_tried is not None:
        needed.add(slot.last_tried.id)
    version = service.spec_version
    is_passed_over = slot.wanted and all(task.spec_version != version for task in slot.wanted)
    judged = (
        is_under_way(service) or is_passed_over
    )  # an update gave the slot up: not to be begun anew
    first = first_of_version(slot, version) if judged else None
    if first is not None:
        older = [task for task in slot.tasks if task.spec_version != version]
        needed.update((first.id, max(older, key=age).id))
    return needed
