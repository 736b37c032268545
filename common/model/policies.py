"""When to try again, and how to roll out."""

from dataclasses import dataclass
from enum import StrEnum

from common.model.fields import Seconds


class RestartCondition(StrEnum):
    """After which ends a slot gets a new task."""

    NONE = "none"
    ON_FAILURE = "on-failure"
    ANY = "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """Engine API ``RestartPolicy``; None takes SwarmKit's defaults: any, 5 s, unlimited, no window."""

    condition: RestartCondition = RestartCondition.ANY
    delay_seconds: Seconds | None = None
    max_attempts: int | None = None
    """0 and None: unlimited."""
    window_seconds: Seconds | None = None


class FailureAction(StrEnum):
    """What an update does when too many of its tasks fail."""

    PAUSE = "pause"
    CONTINUE = "continue"
    ROLLBACK = "rollback"


class UpdateOrder(StrEnum):
    """Whether the old task of a slot stops before the new one runs."""

    STOP_FIRST = "stop-first"
    START_FIRST = "start-first"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateConfig:
    """How to roll out an update (or a rollback)."""

    parallelism: int = 1
    """Slots updated at a time; 0 is all at once."""
    delay_seconds: Seconds = 0.0
    failure_action: FailureAction = FailureAction.PAUSE
    monitor_seconds: Seconds | None = None
    """How long after it runs a task's end counts as a failure of the update; None is SwarmKit's 5 s."""
    max_failure_ratio: float = 0.0
    order: UpdateOrder = UpdateOrder.STOP_FIRST
