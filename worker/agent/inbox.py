"""What this node should have, out of the assignments it was sent."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from common.errors import UnavailableError
from common.model.config import Config
from common.model.secret import Secret
from common.model.task import Task
from common.protocol.messages import Assignments


class SequenceGapError(UnavailableError):
    """A difference to something that this agent was never told: the session must begin again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    """Tasks, and the secrets and configs that they need. The latter are in memory only."""

    tasks: Mapping[str, Task] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    configs: Mapping[str, Config] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbox:
    """The assignments as of message ``number``."""

    number: int = 0
    tasks: Mapping[str, Task] = field(default_factory=dict)
    is_complete: bool = False
    """Whether ``tasks`` is everything, as a manager of this or an earlier session said.

    Then ``secrets`` and ``configs`` are, too: what a task needs comes before it.
    """
    unfinished: Assigned | None = None
    """The parts so far of a full set that is still coming; all else stays as it was meanwhile."""
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    configs: Mapping[str, Config] = field(default_factory=dict)


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
    base = inbox.unfinished or Assigned(
        tasks=inbox.tasks, secrets=inbox.secrets, configs=inbox.configs
    )
    assigned = _after(Assigned() if begins_full_set else base, message, inbox.tasks)
    is_in_parts = begins_full_set or inbox.unfinished is not None
    if is_in_parts and message.continues:
        return replace(inbox, number=message.results_in, unfinished=assigned)
    return Inbox(
        number=message.results_in,
        tasks=assigned.tasks,
        is_complete=inbox.is_complete or is_in_parts,
        secrets=assigned.secrets,
        configs=assigned.configs,
    )


def _after(base: Assigned, message: Assignments, known: Mapping[str, Task]) -> Assigned:
    removed = frozenset(message.removed_task_ids)
    tasks = {task_id: task for task_id, task in base.tasks.items() if task_id not in removed}
    for task in message.tasks:
        # What was told earlier counts, too: a desired state only grows.
        tasks[task.id] = _grown(known.get(task.id), task)
    secrets = {**base.secrets, **{item.id: item for item in message.secrets}}
    configs = {**base.configs, **{item.id: item for item in message.configs}}
    for secret_id in message.removed_secret_ids:
        secrets.pop(secret_id, None)
    for config_id in message.removed_config_ids:
        configs.pop(config_id, None)
    return Assigned(tasks=tasks, secrets=secrets, configs=configs)


def _grown(before: Task | None, now: Task) -> Task:
    if before is None or now.desired_state >= before.desired_state:
        return now
    return replace(now, desired_state=before.desired_state)
