"""After a task's end: again, when, or no more.

A restart is a new task in the same slot. It is made at once, with the desired state READY so that its node prepares
it, and is raised to RUNNING when its delay is over and what ran before has stopped. How often a slot was restarted
is read off the tasks that it still holds (``history`` keeps enough of them), so that it survives a change of leader.
"""

from collections.abc import Iterable, Mapping

from common.disconnect import is_leased
from common.model.node import Node
from common.model.policies import RestartCondition, RestartPolicy
from common.model.task import Task, TaskState
from manager.orchestrator.node_loss import will_report_stop
from manager.orchestrator.slots import Slot, age, ended_by_itself
from manager.store.verdict import NEVER

DEFAULT_DELAY_SECONDS = 5.0
OLD_TASK_TIMEOUT_SECONDS = 60.0
"""A new task waits for the old one of its slot to stop, but no longer than this."""

_DEFAULT_POLICY = RestartPolicy()


def policy_of(task: Task) -> RestartPolicy:
    """The restart policy that the task was made with."""
    return task.spec.restart_policy or _DEFAULT_POLICY


def is_settled(slot: Slot) -> bool:
    """Whether nothing runs in the slot, and nothing will: its work is done, or given up."""
    last = slot.last_tried
    return not slot.wanted and last is not None and not should_restart(last, slot)


def should_restart(ended: Task, slot: Slot) -> bool:
    """Whether the slot gets another task after this one's end (or loss)."""
    policy = policy_of(ended)
    if policy.condition == RestartCondition.NONE:
        return False
    if policy.condition == RestartCondition.ON_FAILURE and ended.status.state == TaskState.COMPLETE:
        return False
    if not policy.max_attempts:
        return True
    return _ends(ended, slot.tasks, policy.window_seconds) <= policy.max_attempts


def _ends(ended: Task, tasks: Iterable[Task], window_seconds: float | None) -> int:
    """How many tasks of the same spec came to an end of their own in the slot, within the window if there is one.

    The loss of a node and a stop on request are nobody's failed attempt.
    """
    since = _end(ended) - window_seconds if window_seconds else 0.0
    return sum(
        task.spec_version == ended.spec_version and ended_by_itself(task) and _end(task) > since
        for task in tasks
    )


def _end(task: Task) -> float:
    return task.status.applied_at or task.status.timestamp


def start_at(task: Task, past: Iterable[Task], nodes: Mapping[str, Node], now: float) -> float:
    """When a task that waits in READY may run, as far as can be said now: an old task's end may make it sooner.

    For the end of one with a lease it is waited for ever, whenever that was made: two of them never run, and leaders
    whose clocks differ have made them. What was made later than now was so by a leader whose clock is ahead: how long
    ago that is nobody knows, and it has waited for long enough.
    """
    past = tuple(past)
    if any(is_leased(old) and will_report_stop(old, nodes) for old in past):
        return NEVER
    if task.created_at > now:
        return now
    before = [old for old in past if old.created_at <= task.created_at]
    due = task.created_at + _delay(task, before)
    if any(will_report_stop(old, nodes) for old in before):
        return due + OLD_TASK_TIMEOUT_SECONDS
    return due


def _delay(task: Task, before: list[Task]) -> float:
    """The policy's delay after an end of its own; none when an update, or the loss of a node, asks for the task."""
    if not before:
        return 0.0
    predecessor = max(before, key=age)
    came_after_its_end = ended_by_itself(predecessor) and _end(predecessor) <= task.created_at
    if not came_after_its_end or predecessor.spec != task.spec:
        return 0.0
    delay = policy_of(task).delay_seconds
    return DEFAULT_DELAY_SECONDS if delay is None else delay
