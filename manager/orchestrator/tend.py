"""One slot: replace what ended or was lost, raise what waited for its turn, stop what is too much."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from common.model.policies import UpdateOrder
from common.model.service import UpdateState
from common.model.task import Task, TaskState
from manager.orchestrator.dirty import is_dirty
from manager.orchestrator.new_task import new_task
from manager.orchestrator.node_loss import is_leaving, is_lost
from manager.orchestrator.policies import order_of
from manager.orchestrator.restart import is_settled, start_at
from manager.orchestrator.slots import Slot, age, ended_by_itself, has_ended, is_running
from manager.orchestrator.view import ServiceView
from manager.store.changes import Change, Create, SetDesiredState
from manager.store.verdict import NewId, Verdict

_NOTHING = Verdict()
_PAUSED = (UpdateState.PAUSED, UpdateState.ROLLBACK_PAUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sorted:
    """The wanted tasks of a slot by what can be done with them."""

    gone: tuple[Task, ...]
    clean: tuple[Task, ...]
    dirty: tuple[Task, ...]
    """Out of date, or on a drained node that they leave once another task runs: those to be replaced."""


def tend(slot: Slot, view: ServiceView, now: float, new_id: NewId) -> Verdict:
    """What the slot needs, an update's own steps aside."""
    if not slot.wanted or (len(slot.wanted) == 1 and _is_fine(slot.wanted[0], view)):
        return _NOTHING
    tasks = _sort(slot, view)
    if not tasks.gone:
        if _must_be_followed(slot, tasks, view):
            return fill(replace(slot, past=()), view, now, new_id)
        return _keep_one(slot, tasks, view, now)
    if tasks.clean or (tasks.dirty and not _is_tried_again(tasks.gone, view)):
        left = replace(slot, past=(*slot.past, *tasks.gone))
        rest = _keep_one(left, tasks, view, now)
        return replace(rest, changes=(*stop(tasks.gone), *rest.changes))
    return _replace(slot, tasks, view, now, new_id)


def stop(tasks: Iterable[Task]) -> tuple[Change, ...]:
    """Tells tasks to stop, and keeps them for the history."""
    return tuple(SetDesiredState(task_id=task.id, state=TaskState.SHUTDOWN) for task in tasks)


def remove(tasks: Iterable[Task]) -> tuple[Change, ...]:
    """Tells tasks to stop and to be forgotten."""
    return tuple(
        SetDesiredState(task_id=task.id, state=TaskState.REMOVE)
        for task in tasks
        if task.desired_state < TaskState.REMOVE
    )


def fill(slot: Slot, view: ServiceView, now: float, new_id: NewId) -> Verdict:
    """A new task for a slot in which nothing is wanted: READY while it must wait for its turn, else RUNNING."""
    task = new_task(view.service, task_id=new_id(), now=now, slot=slot.number, node_id=slot.node_id)
    start = start_at(task, (*slot.past, *slot.leaving), view.nodes, now)
    if start <= now:
        return Verdict(changes=(Create(object=task),))
    task = replace(task, desired_state=TaskState.READY)
    return Verdict(changes=(Create(object=task),), look_again_at=start)


def stop_and_fill(
    slot: Slot, tasks: tuple[Task, ...], view: ServiceView, now: float, new_id: NewId
) -> Verdict:
    """Stops tasks of a slot and puts a new one in their place."""
    stopped = tuple(replace(task, desired_state=TaskState.SHUTDOWN) for task in tasks)
    filled = fill(replace(slot, past=(*slot.past, *stopped)), view, now, new_id)
    return replace(filled, changes=(*stop(tasks), *filled.changes))


def _is_fine(task: Task, view: ServiceView) -> bool:
    return (
        task.desired_state >= TaskState.RUNNING
        and not has_ended(task)
        and not is_lost(task, view.nodes)
    )


def _sort(slot: Slot, view: ServiceView) -> _Sorted:
    leaving = [task for task in slot.wanted if _leaves_later(task, view)]
    gone = tuple(
        task
        for task in slot.wanted
        if task not in leaving and (has_ended(task) or is_lost(task, view.nodes))
    )
    live = tuple(task for task in slot.wanted if task not in gone)
    dirty = tuple(
        task for task in live if task in leaving or is_dirty(task, view.service, view.node_of(task))
    )
    return _Sorted(gone=gone, dirty=dirty, clean=tuple(task for task in live if task not in dirty))


def _leaves_later(task: Task, view: ServiceView) -> bool:
    """Whether a task stays on a drained node until another one runs, since its service starts first."""
    return order_of(view.service) == UpdateOrder.START_FIRST and is_leaving(task, view.nodes)


def _must_be_followed(slot: Slot, tasks: _Sorted, view: ServiceView) -> bool:
    """Whether all that runs in the slot is to leave its node, and no task came yet to take over, or failed to."""
    if tasks.clean or not all(_leaves_later(task, view) for task in tasks.dirty):
        return False
    newest = max(tasks.dirty, key=age)
    return not any(ended_by_itself(old) and age(old) > age(newest) for old in slot.past)


def _is_tried_again(gone: tuple[Task, ...], view: ServiceView) -> bool:
    """Whether a new task that failed beside the one it was to replace is made again: not once the update pauses."""
    status = view.service.update_status
    if status is not None and status.state in _PAUSED:
        return False
    return any(not is_dirty(task, view.service, view.node_of(task)) for task in gone)


def _keep_one(slot: Slot, tasks: _Sorted, view: ServiceView, now: float) -> Verdict:
    """Of the tasks that can run, keeps the best, and beside it the old one that it is still to replace."""
    kept = min(tasks.clean or tasks.dirty, key=_rank)
    old = _old_beside(kept, tasks, view) if tasks.clean else None
    others = tuple(
        task for task in (*tasks.clean, *tasks.dirty) if task is not kept and task is not old
    )
    if kept.desired_state >= TaskState.RUNNING:
        return Verdict(changes=stop(others))
    start = start_at(kept, (*slot.past, *slot.leaving, *others), view.nodes, now)
    if start > now:
        return Verdict(changes=stop(others), look_again_at=start)
    raised = SetDesiredState(task_id=kept.id, state=TaskState.RUNNING)
    return Verdict(changes=(*stop(others), raised))


def _rank(task: Task) -> tuple[bool, tuple[float, float, str]]:
    return not is_running(task), age(task)


def _old_beside(kept: Task | None, tasks: _Sorted, view: ServiceView) -> Task | None:
    """The old task that goes on until the new one runs, when the update starts first."""
    is_done = kept is not None and is_running(kept)
    if not tasks.dirty or is_done or order_of(view.service) == UpdateOrder.STOP_FIRST:
        return None
    return min(tasks.dirty, key=_rank)


def _replace(slot: Slot, tasks: _Sorted, view: ServiceView, now: float, new_id: NewId) -> Verdict:
    """Puts a new task in the place of the newest that is gone, if its policy says so."""
    newest = max(tasks.gone, key=age)
    old = _old_beside(None, tasks, view)
    gone = (*tasks.gone, *(task for task in tasks.dirty if task is not old))
    others = tuple(task for task in gone if task is not newest)
    turn = _turn(newest, replace(slot, past=(*slot.past, *others)), view, now)
    if turn > now:
        return Verdict(changes=stop(others), look_again_at=turn)
    if is_settled(replace(slot, wanted=(), past=(*slot.past, *gone))):
        return Verdict(changes=stop(gone))
    return stop_and_fill(slot, gone, view, now, new_id)


def _turn(task: Task, slot: Slot, view: ServiceView, now: float) -> float:
    """A task that ended before its turn to run is replaced only when its turn comes: no tight loops."""
    waits = task.desired_state < TaskState.RUNNING and has_ended(task)
    if not waits or is_dirty(task, view.service, view.node_of(task)):
        return 0.0
    return start_at(task, slot.past, view.nodes, now)
