"""Telling slots that need nothing from those that may: a look at a large service costs little while little happens."""

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import TypeVar

from common.model.node import Node
from common.model.task import Task, TaskState
from manager.orchestrator.dirty import is_dirty
from manager.orchestrator.node_loss import takes_no_tasks
from manager.orchestrator.view import ServiceView

P = TypeVar("P", int, str)
RUNNING, REMOVE = TaskState.RUNNING, TaskState.REMOVE

slot_of: Callable[[Task], int] = attrgetter("slot")
node_of: Callable[[Task], str] = attrgetter("node_id")


def sort_out(
    tasks: Iterable[Task], view: ServiceView, place_of: Callable[[Task], P]
) -> tuple[dict[P, Task], dict[P, list[Task]]]:
    """Splits a service's tasks by place: where there is but one, as it should be, and where there is more to it.

    Tasks that are to be removed belong to no place any more.
    """
    single: dict[P, Task] = {}
    several: dict[P, list[Task]] = {}
    for task in tasks:
        if task.desired_state >= REMOVE:
            continue
        place = place_of(task)
        if place in several:
            several[place].append(task)
        elif place in single:
            several[place] = [single.pop(place), task]
        else:
            single[place] = task
    restless = [place for place, task in single.items() if not _rests(task, view)]
    for place in restless:
        several[place] = [single.pop(place)]
    return single, several


def _rests(task: Task, view: ServiceView) -> bool:
    """Whether a task runs, or is on its way, on a node that is well, and as its service says."""
    if task.desired_state is not RUNNING or task.status.state > RUNNING:
        return False
    node: Node | None = None
    if task.node_id:
        node = view.nodes.get(task.node_id)
        if takes_no_tasks(node):
            return False
    return task.spec_version == view.service.spec_version or not is_dirty(task, view.service, node)
