"""Pure: what a node should have, less what it was told, is the difference to send."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from common.codec import encode
from common.model.config import Config
from common.model.secret import Secret
from common.model.task import Task, TaskState
from common.protocol.messages import TASKS_PER_MESSAGE_MAX, Assignments
from manager.dispatcher.handing import Handing

ASSIGNMENTS_BYTES_MAX: Final = 1024 * 1024
"""Bytes of the tasks of one message, unless it is a single larger one."""
TASK_BYTES: Final = 2048
"""What is reckoned for a task beside its spec and the texts of its status."""
TEXT_BYTES_PER_CHARACTER: Final = 4


@dataclass(frozen=True, slots=True)
class Told:
    """What can still change of a task for its agent. The rest is fixed once it is assigned, or the agent's own."""

    desired_state: TaskState
    is_finished: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Tasks to tell of, and those to be let go."""

    tasks: tuple[Task, ...] = ()
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.tasks or self.removed)


def is_assigned(task: Task | None, node_id: str) -> bool:
    """Whether a task is that node's business.

    It stays so when it has ended, until it is deleted: its container and its log are kept with it.
    """
    return task is not None and task.node_id == node_id and task.status.state >= TaskState.ASSIGNED


def told_of(task: Task) -> Told:
    """What the agent knows once it was sent this task."""
    return Told(task.desired_state, task.status.state > TaskState.RUNNING)


def difference(
    node_id: str,
    task_ids: Iterable[str],
    tasks: Mapping[str, Task],
    told: Mapping[str, Told],
) -> Difference:
    """Compares some tasks as they stand with what the node's agent was told."""
    changed, removed = [], []
    for task_id in task_ids:
        task = tasks.get(task_id)
        if task is None or not is_assigned(task, node_id):
            if task_id in told:
                removed.append(task_id)
        elif told.get(task_id) != told_of(task):
            changed.append(task)
    return Difference(tasks=tuple(changed), removed=tuple(removed))


def everything(tasks: Iterable[Task], node_id: str) -> list[Task]:
    """All tasks that are that node's business."""
    return [task for task in tasks if is_assigned(task, node_id)]


def full_messages(
    tasks: Sequence[Task], number: int, handing: Handing | None = None
) -> Iterator[Assignments]:
    """Messages that tell everything, the first of them with that number; secrets and configs before tasks."""
    parts = list(_messages(tasks, handing or Handing()))
    for place, part in enumerate(parts):
        yield replace(
            part,
            applies_to=0 if place == 0 else number + place - 1,
            results_in=number + place,
            continues=place < len(parts) - 1,
        )


def difference_messages(
    what: Difference, after: int, handing: Handing | None = None
) -> Iterator[Assignments]:
    """Messages that tell a difference to message ``after``: first what is given, then tasks, then what is taken."""
    handing = handing or Handing()
    parts = list(_messages(what.tasks, handing))
    for place, part in enumerate(parts):
        is_last = place == len(parts) - 1
        yield replace(
            part,
            applies_to=after + place,
            results_in=after + place + 1,
            removed_task_ids=what.removed if place == 0 else (),
            removed_secret_ids=handing.taken_of("secret") if is_last else (),
            removed_config_ids=handing.taken_of("config") if is_last else (),
        )


def _messages(tasks: Sequence[Task], handing: Handing) -> Iterator[Assignments]:
    """What is to be told, without numbers; at least one message. An agent has what a task needs before the task."""
    for part in handing.parts():
        yield Assignments(
            applies_to=0,
            results_in=0,
            secrets=tuple(item for item in part if isinstance(item, Secret)),
            configs=tuple(item for item in part if isinstance(item, Config)),
        )
    for tasks_part in list(_parts(tasks)) or [()]:
        yield Assignments(applies_to=0, results_in=0, tasks=tasks_part)


def _parts(tasks: Sequence[Task]) -> Iterator[tuple[Task, ...]]:
    """As many tasks at a time as one message may hold. A single task always fits."""
    part: list[Task] = []
    size = 0
    for task in tasks:
        cost = _bytes_of(task) if len(tasks) > 1 else 0
        if part and (len(part) >= TASKS_PER_MESSAGE_MAX or size + cost > ASSIGNMENTS_BYTES_MAX):
            yield tuple(part)
            part, size = [], 0
        part.append(task)
        size += cost
    if part:
        yield tuple(part)


def _bytes_of(task: Task) -> int:
    """What a task takes of a message, or somewhat more. Its spec, which is most of it, is packed once for all tasks."""
    texts = len(task.status.err) + len(task.status.message)
    return len(encode(task.spec)) + TEXT_BYTES_PER_CHARACTER * texts + TASK_BYTES
