"""What to make of a container's record after swarmd was away: pure."""

from dataclasses import dataclass, replace

from worker.containers.record import Container, ContainerState
from worker.containers.restart_policy import starts_with_the_daemon
from worker.network.attachment import Attachment
from worker.runtime.bundle import Exit

UNKNOWN_EXIT_CODE = 255
"""Of a container whose end nobody saw, as Docker has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopt:
    """It runs: look after it."""

    container: Container


@dataclass(frozen=True, slots=True, kw_only=True)
class AskForEnd:
    """It may have run and ended meanwhile: the runtime knows (``after_absence``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amend:
    """It does not run, and its record should say something else."""

    container: Container


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """It is as its record says."""


def recovery_of(
    container: Container, *, is_running: bool, now: float
) -> Adopt | AskForEnd | Amend | Leave:
    """Compares a record with whether the container's first process lives.

    A start is recorded before it is tried: ``created`` with a start time is one whose outcome was not recorded.
    """
    if is_running:
        is_frozen = container.state is ContainerState.PAUSED
        state = ContainerState.PAUSED if is_frozen else ContainerState.RUNNING
        return Adopt(container=replace(container, state=state))
    was_started = container.state is ContainerState.CREATED and container.started_at > 0
    if was_started or container.has_process:
        return AskForEnd()
    is_left_alone = container.state is ContainerState.RESTARTING and container.is_stopped_by_user
    if container.state is not ContainerState.EXITED and not is_left_alone:
        return Leave()
    if starts_with_the_daemon(container):
        return Amend(container=afresh(container, now=now))
    ended = replace(container, state=ContainerState.EXITED, restart_at=0.0)
    return Amend(container=ended) if is_left_alone else Leave()


def afresh(container: Container, *, now: float) -> Container:
    """The record of one that starts with swarmd, as if somebody had asked for it."""
    return replace(
        container,
        state=ContainerState.RESTARTING,
        restart_at=now,
        restart_count=0,
        restart_delay_seconds=0.0,
        is_stopped_by_user=False,
    )


def after_exit(container: Container, ended: Exit) -> Container:
    """The record of a container that has ended."""
    return replace(
        container,
        state=ContainerState.EXITED,
        pid=0,
        exit_code=ended.code,
        oom_killed=ended.oom_killed,
        finished_at=ended.at,
        attachment=Attachment(network=container.config.network),
        ports=(),
    )


def after_absence(container: Container, ended: Exit | None, *, now: float) -> Container:
    """The record of a container that runs no more; ``ended`` is None when the runtime never heard of it."""
    if ended is not None:
        return after_exit(container, ended)
    if container.state is ContainerState.CREATED:
        never = replace(
            container,
            started_at=0.0,
            attachment=Attachment(network=container.config.network),
            ports=(),
        )
        if container.restart_count == 0:
            return never
        return replace(never, state=ContainerState.RESTARTING, restart_at=now)  # it goes on trying
    lost = Exit(id=container.id, code=UNKNOWN_EXIT_CODE, oom_killed=False, at=now)
    return replace(after_exit(container, lost), error="it ended while nobody was watching")
