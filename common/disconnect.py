"""What a service wants to become of its tasks on a node that has lost the managers. Pure; agents and managers read it.

By default such a task goes on, and is replaced elsewhere once its node is down; the surplus copy stops when the node
is back. A service with ``swarmd.disconnect.stop-after`` never has two copies: the agent stops the task when it has had
no manager for that long (a lease), and managers replace it only when that time and the stop's are surely over.

The lease is counted on the agent's machine from the moment at which it sent the last message that a manager answered
knowing that it still led; the managers count theirs from when they saw the node down, which is later. Each
counts on one clock of its own: moments of two machines are never compared.
"""

from collections.abc import Mapping
from typing import Final

from common.durations import seconds
from common.errors import InvalidInputError
from common.model.container_spec import ContainerSpec
from common.model.task import Task

STOP_AFTER_LABEL: Final = "swarmd.disconnect.stop-after"
STOP_AFTER_SECONDS_MIN: Final = 1.0
STOP_AFTER_SECONDS_MAX: Final = 12 * 3600.0
"""Together with the stop's grace it ends long before the managers give up the tasks of a node that stays down."""
STOP_GRACE_SECONDS_MAX: Final = 3600.0
"""What a service with a lease may take to stop."""
DEFAULT_STOP_GRACE_SECONDS: Final = 10.0
SLACK_SECONDS: Final = 10.0
"""What an agent may be late, its ports drained and the kernel's killing included."""
CLOCK_DRIFT: Final = 0.001
"""How much faster one machine's clock may run than another's: far more than a clock that works does."""


def stop_after_seconds(labels: Mapping[str, str]) -> float | None:
    """How long tasks with these labels of their service may run without a manager; None: as long as they like."""
    text = labels.get(STOP_AFTER_LABEL)
    return None if text is None else seconds(text)


def check_stop_after(labels: Mapping[str, str], container: ContainerSpec | None) -> None:
    """Refuses a lease that cannot be.

    Raises:
        InvalidInputError: it is no duration, or too short or too long.
    """
    try:
        after = stop_after_seconds(labels)
    except ValueError as error:
        raise InvalidInputError(f"{STOP_AFTER_LABEL}: {error}") from None
    if after is None:
        return
    if not STOP_AFTER_SECONDS_MIN <= after <= STOP_AFTER_SECONDS_MAX:
        raise InvalidInputError(
            f"{STOP_AFTER_LABEL} must be from {STOP_AFTER_SECONDS_MIN:g}s "
            f"to {STOP_AFTER_SECONDS_MAX / 3600:g}h"
        )
    if stop_grace_seconds(container) > STOP_GRACE_SECONDS_MAX:
        raise InvalidInputError(
            f"a service with {STOP_AFTER_LABEL} must stop within {STOP_GRACE_SECONDS_MAX / 3600:g}h"
        )


def stop_grace_seconds(container: ContainerSpec | None) -> float:
    """How long a container may take to stop before it is killed."""
    grace = container.stop_grace_period_seconds if container is not None else None
    return DEFAULT_STOP_GRACE_SECONDS if grace is None else grace


def is_leased(task: Task) -> bool:
    """Whether the task never runs for long without a manager."""
    return STOP_AFTER_LABEL in task.service_labels


def silence_seconds_until_stopped(task: Task) -> float | None:
    """How long its node must have been silent until the task surely runs no more; None: nobody ever knows."""
    after = stop_after_seconds(task.service_labels)
    if after is None:
        return None
    grace = stop_grace_seconds(task.spec.container_spec)
    return (after + grace) * (1 + CLOCK_DRIFT) + SLACK_SECONDS
