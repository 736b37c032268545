"""Whether a container that has ended starts again, and when: pure."""

from dataclasses import dataclass

from common.errors import InvalidInputError
from worker.containers.record import Container, RestartPolicy

FIRST_DELAY_SECONDS = 0.1
DELAY_SECONDS_MAX = 60.0
STEADY_SECONDS = 10.0
"""Whoever ran this long begins with the shortest delay again."""
POLICIES = ("", "no", "always", "unless-stopped", "on-failure")


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """It starts again after a while."""

    after_seconds: float


def restart_of(container: Container) -> Again | None:
    """What its policy says now that it has ended; None: it stays as it is.

    A task is one shot: managers replace it, whatever its container's options say.
    """
    if not _wants_again(container):
        return None
    ran_seconds = container.finished_at - container.started_at
    before = 0.0 if ran_seconds >= STEADY_SECONDS else container.restart_delay_seconds
    delay = min(before * 2, DELAY_SECONDS_MAX) if before > 0 else FIRST_DELAY_SECONDS
    return Again(after_seconds=delay)


def _wants_again(container: Container) -> bool:
    policy = container.config.host.restart
    if container.config.task_id or container.is_stopped_by_user:
        return False
    if policy.name == "on-failure":
        tries_left = not policy.maximum_retry_count or (
            container.restart_count < policy.maximum_retry_count
        )
        return container.exit_code != 0 and tries_left
    return policy.name in ("always", "unless-stopped")


def is_lasting(container: Container) -> bool:
    """Whether what is recorded of it matters after a power failure: it may have to start again then."""
    return not container.config.task_id and container.config.host.restart.name not in ("", "no")


def starts_with_the_daemon(container: Container) -> bool:
    """Whether one that its user has stopped starts when swarmd does: Docker has it so for "always"."""
    return (
        not container.config.task_id
        and container.config.host.restart.name == "always"
        and container.finished_at > 0
    )


def wait_seconds(container: Container, *, now: float) -> float:
    """How long one that is RESTARTING has still to wait; bounded also when somebody has set the clock."""
    return min(max(0.0, container.restart_at - now), DELAY_SECONDS_MAX)


def check_policy(policy: RestartPolicy, *, auto_remove: bool) -> None:
    """Refuses a policy that there is not.

    Raises:
        InvalidInputError: so it is.
    """
    if policy.name not in POLICIES:
        raise InvalidInputError(f"invalid restart policy: unknown policy '{policy.name}'")
    if policy.maximum_retry_count < 0:
        raise InvalidInputError("invalid restart policy: maximum retry count cannot be negative")
    if policy.maximum_retry_count and policy.name != "on-failure":
        raise InvalidInputError(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'"
        )
    if auto_remove and policy.name not in ("", "no"):
        raise InvalidInputError("can't create 'AutoRemove' container with restart policy")
