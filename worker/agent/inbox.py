"""What this node should have, out of the assignments it was sent."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from common.errors import UnavailableError
from common.model.task import Task
from common.protocol.messages import Assignments


class SequenceGapError(UnavailableError):
    """A difference to something that this agent was never told: the session must begin again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbox:
    """The assignments as of message ``number``."""

    number: int = 0
    tasks: Mapping[str, Task] = field(default_factory=dict)
    is_complete: bool = False
    """Whether ``tasks`` is everything, as a manager of this or an earlier session said."""
    unfinished: Mapping[str, Task] | None = None
    """The parts so far of a full set that is still coming; ``tasks`` stays as it was meanwhile."""


def receive(inbox: Inbox, message: Assignments) -> Inbox:
    """Takes one message.

    Raises:
        SequenceGapError: the message is a difference to another one than the last received.
    """
    begins_full_set = message.applies_to == 0
    if not begins_full_set and message.applies_to != inbox.number:
        raise SequenceGapError(
            f"an assignment applies to message {message.applies_to}, the last was {inbox.number}"
        )
    base: Mapping[str, Task] = inbox.tasks if inbox.unfinished is None else inbox.unfinished
    if begins_full_set:
        base = {}
    removed = frozenset(message.removed_task_ids)
    tasks = {task_id: task for task_id, task in base.items() if task_id not in removed}
    for task in message.tasks:
        # What was told earlier counts, too: a desired state only grows.
        tasks[task.id] = _grown(inbox.tasks.get(task.id), task)
    is_in_parts = begins_full_set or inbox.unfinished is not None
    if is_in_parts and message.continues:
        return replace(inbox, number=message.results_in, unfinished=tasks)
    return Inbox(
        number=message.results_in, tasks=tasks, is_complete=inbox.is_complete or is_in_parts
    )


def _grown(before: Task | None, now: Task) -> Task:
    if before is None or now.desired_state >= before.desired_state:
        return now
    return replace(now, desired_state=before.desired_state)
