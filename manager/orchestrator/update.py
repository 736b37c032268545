"""A rolling update: which slots now, when the next, and whether to pause, roll back or be done.

Everything is read off the service and its tasks: a slot is *reached* when it holds a task of the service's present
spec version beside an older one. So an update goes on after a change of leader as if nothing had happened.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from heapq import nsmallest

from common.model.policies import FailureAction, UpdateOrder
from common.model.service import Service, UpdateState, UpdateStatus
from common.model.task import Task, TaskState
from manager.orchestrator.dirty import is_allocated, is_dirty
from manager.orchestrator.policies import config_of, is_rollback, monitor_seconds, order_of
from manager.orchestrator.slots import Slot, age, ended_by_itself, has_ended, is_running
from manager.orchestrator.tend import fill, stop_and_fill
from manager.orchestrator.view import ServiceView
from manager.store.changes import Change, Update
from manager.store.verdict import NewId, Verdict, soonest

TAKEN_PER_LOOK_MAX = 500
"""Slots that an update comes to in one look, so that a look stays short; the next look follows at once."""

_NOTHING = Verdict()
_PAUSED = (UpdateState.PAUSED, UpdateState.ROLLBACK_PAUSED)
_UNDER_WAY = (UpdateState.UPDATING, UpdateState.ROLLBACK_STARTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reached:
    """A slot that this update came to."""

    slot: Slot
    first: Task
    """The first task that it made there: by it the update is judged."""
    arrived_at: float | None
    """When the first of its tasks ran, or ended without; None while that is to come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Progress:
    """How far an update is."""

    waiting: tuple[Slot, ...]
    """Dirty slots that it has still to come to."""
    reached: tuple[_Reached, ...]
    is_overlapping: bool
    """Some slot holds an old task beside a new one."""


def is_under_way(service: Service) -> bool:
    """Whether the service is being updated or rolled back."""
    return service.update_status is not None and service.update_status.state in _UNDER_WAY


def advance(
    view: ServiceView,
    slots: Sequence[Slot],
    busy: Collection[tuple[int, str]],
    now: float,
    new_id: NewId,
) -> Verdict:
    """The next step of the service's update, if there is one to make.

    Args:
        view: the service.
        slots: those of its slots that it is to keep.
        busy: places of slots for which something else was decided just now.
        now: the time.
        new_id: draws the ids of new tasks.
    """
    service = view.service
    status = service.update_status
    if not is_allocated(service) or (status is not None and status.state in _PAUSED):
        return _NOTHING
    progress = _progress(view, slots)
    if not is_under_way(service):
        if not progress.waiting and not progress.is_overlapping:
            return _NOTHING
        service = _started(service, now)
    failed = _tipping_failure(service, progress)
    if failed is not None:
        return Verdict(changes=(Update(object=_stopped_by(failed, service)),))
    if not progress.waiting and not progress.is_overlapping:
        return _finish(service, progress, now)
    changed: tuple[Change, ...] = () if service is view.service else (Update(object=service),)
    steps = _next_slots(replace(view, service=service), progress, busy, now, new_id)
    return replace(steps, changes=(*changed, *steps.changes))


def first_of_version(slot: Slot, version: int) -> Task | None:
    """The first task that an update to this spec version made in a slot that had tasks before."""
    tasks = slot.tasks
    own = [task for task in tasks if task.spec_version == version]
    if not own or len(own) == len(tasks):
        return None
    first = min(own, key=age)
    had_older = any(
        task.created_at <= first.created_at for task in tasks if task.spec_version != version
    )
    return first if had_older else None


def _progress(view: ServiceView, slots: Sequence[Slot]) -> _Progress:
    service = view.service
    waiting: list[Slot] = []
    reached: list[_Reached] = []
    is_overlapping = False
    for slot in slots:
        first = None if _is_untouched(slot) else first_of_version(slot, service.spec_version)
        if first is not None:
            reached.append(_Reached(slot=slot, first=first, arrived_at=_arrival(slot, service)))
        standing = slot.wanted or ((slot.newest,) if slot.newest else ())
        dirty = [task for task in standing if is_dirty(task, service, view.node_of(task))]
        if not dirty:
            continue
        if len(dirty) < len(standing):
            is_overlapping = True
        elif first is None:
            waiting.append(slot)
    return _Progress(waiting=tuple(waiting), reached=tuple(reached), is_overlapping=is_overlapping)


def _is_untouched(slot: Slot) -> bool:
    """A quick no: a slot with one task, and nothing before it, was not reached by any update."""
    return not slot.past and len(slot.wanted) == 1


def _arrival(slot: Slot, service: Service) -> float | None:
    own = [task for task in slot.tasks if task.spec_version == service.spec_version]
    moments = [
        task.running_at or task.status.applied_at
        for task in own
        if task.running_at or has_ended(task)
    ]
    if moments:
        return min(moments)
    still_coming = any(task in slot.wanted for task in own)
    return None if still_coming else max(task.status.applied_at for task in own)


def _tipping_failure(service: Service, progress: _Progress) -> Task | None:
    """The latest of the failed tasks, once they are too many for the update to go on."""
    config = config_of(service)
    if config.failure_action == FailureAction.CONTINUE:
        return None
    monitor = monitor_seconds(config)
    failed = [
        reached.first for reached in progress.reached if _counts_as_failure(reached.first, monitor)
    ]
    slots_in_all = len(progress.reached) + len(progress.waiting)
    if not failed or len(failed) / slots_in_all <= config.max_failure_ratio:
        return None
    return max(failed, key=lambda task: (task.status.applied_at, task.id))


def _counts_as_failure(task: Task, monitor: float) -> bool:
    if not ended_by_itself(task):
        return False
    return not task.running_at or task.status.applied_at - task.running_at <= monitor


def _started(service: Service, now: float) -> Service:
    status = UpdateStatus(state=UpdateState.UPDATING, started_at=now, message="update in progress")
    return replace(service, update_status=status)


def _stopped_by(failed: Task, service: Service) -> Service:
    """The service paused, or on its way back; a rollback is never rolled back."""
    cause = f"due to failure or early termination of task {failed.id}"
    status = service.update_status or UpdateStatus()
    if is_rollback(service):
        paused = replace(
            status, state=UpdateState.ROLLBACK_PAUSED, message=f"rollback paused {cause}"
        )
        return replace(service, update_status=paused)
    previous = service.previous_spec
    if config_of(service).failure_action != FailureAction.ROLLBACK or previous is None:
        paused = replace(status, state=UpdateState.PAUSED, message=f"update paused {cause}")
        return replace(service, update_status=paused)
    back = replace(
        status, state=UpdateState.ROLLBACK_STARTED, message=f"update rolled back {cause}"
    )
    return replace(
        service, spec=previous, previous_spec=None, previous_spec_version=0, update_status=back
    )


def _finish(service: Service, progress: _Progress, now: float) -> Verdict:
    """Done, when the last slot was watched for long enough."""
    arrivals = [reached.arrived_at for reached in progress.reached]
    if None in arrivals:
        return _NOTHING
    watched_until = max((at for at in arrivals if at is not None), default=now) + (
        monitor_seconds(config_of(service)) if arrivals else 0.0
    )
    if watched_until > now:
        return Verdict(look_again_at=watched_until)
    status = service.update_status or UpdateStatus()
    state, message = UpdateState.COMPLETED, "update completed"
    if is_rollback(service):
        state, message = UpdateState.ROLLBACK_COMPLETED, "rollback completed"
    done = replace(status, state=state, message=message, completed_at=now)
    return Verdict(changes=(Update(object=replace(service, update_status=done)),))


def _next_slots(
    view: ServiceView,
    progress: _Progress,
    busy: Collection[tuple[int, str]],
    now: float,
    new_id: NewId,
) -> Verdict:
    """Starts on as many slots as the parallelism leaves room for; those that do not run come first."""
    config = config_of(view.service)
    free_at = [
        None if reached.arrived_at is None else reached.arrived_at + config.delay_seconds
        for reached in progress.reached
    ]
    occupied = sum(at is None or at > now for at in free_at)
    free = (
        len(progress.waiting) if config.parallelism == 0 else max(0, config.parallelism - occupied)
    )
    chosen = nsmallest(
        min(free, TAKEN_PER_LOOK_MAX),
        (slot for slot in progress.waiting if slot.place not in busy),
        key=_urgency,
    )
    verdicts = [_take(slot, config.order, view, now, new_id) for slot in chosen]
    is_held_up = len(chosen) < min(free, len(progress.waiting))
    later = [at for at in free_at if at is not None and at > now]
    return Verdict(
        changes=tuple(change for verdict in verdicts for change in verdict.changes),
        look_again_at=soonest(
            *(verdict.look_again_at for verdict in verdicts),
            *(later if len(progress.waiting) > len(chosen) else ()),
            now if is_held_up else None,
        ),
    )


def _urgency(slot: Slot) -> tuple[bool, tuple[int, str]]:
    return any(map(is_running, slot.wanted)), slot.place


def _take(slot: Slot, order: UpdateOrder, view: ServiceView, now: float, new_id: NewId) -> Verdict:
    """Puts a task of the new spec into a slot, after or beside the old one."""
    if order == UpdateOrder.START_FIRST and any(is_running(task) for task in slot.wanted):
        return fill(replace(slot, past=()), view, now, new_id)
    return stop_and_fill(slot, slot.wanted, view, now, new_id)


def wants_to_know(service: Service, state: TaskState) -> bool:
    """Whether the service's decision may depend on a task having come to this state."""
    if state > TaskState.RUNNING:
        return True
    status = service.update_status
    is_settled = status is None or status.state in (
        UpdateState.COMPLETED,
        UpdateState.ROLLBACK_COMPLETED,
    )
    starts_first = order_of(service) == UpdateOrder.START_FIRST
    return state == TaskState.RUNNING and (starts_first or not is_settled)
