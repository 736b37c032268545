"""Pure: what comes next for one task, out of what is wanted, what was seen and what its container does now.

One call answers with one thing: a new status, a step to do, or that there is nothing to do until something changes.
The state only grows, and a final state stays. Docker's words and errors are kept, since people and tools read them.

    ASSIGNED ─▶ ACCEPTED ─▶ PREPARING ─(create)─▶ READY ─(wanted RUNNING)─▶ STARTING ─(start, first healthy)─▶ RUNNING
                                │ error                                        │ error, exit, unhealthy          │
                                ▼                                              ▼                                 ▼
                             REJECTED                                        FAILED                    COMPLETE, FAILED
    from any of them, when no longer wanted: (stop) ─▶ SHUTDOWN
"""

from dataclasses import dataclass, replace
from typing import Final

from common.disconnect import stop_grace_seconds
from common.model.task import ContainerStatus, PortStatus, Task, TaskState, TaskStatus
from worker.containers.record import Container, ContainerState, Health

RETRY_SECONDS: Final = 1.0
"""How long after a temporary error the step is tried again."""
ATTEMPTS_MAX: Final = 300
"""Temporary errors of one step in a row before they count as final."""
UNHEALTHY: Final = "task: unhealthy container"
CONTAINER_GONE: Final = "task: the container is gone"
CUT_OFF: Final = "task: the node has had no manager for longer than swarmd.disconnect.stop-after"


# --------------------------------------------------------------------------- what can come next


@dataclass(frozen=True, slots=True, kw_only=True)
class Become:
    """Record and report this status."""

    status: TaskStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """Make the task's container."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Run the container."""

    container_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Take the task out of every published port, then stop its container."""

    container_id: str
    grace_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """Take the container away."""

    container_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing to do until something changes, or until that moment."""

    until: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """Nothing is left of the task here."""


Step = Create | Start | Stop | Remove
Decision = Become | Step | Wait | Gone


# ------------------------------------------------------------------------------ what is known


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """How the last attempt of a step failed."""

    step: Step
    error: str
    temporary: bool
    at: float
    attempts: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that a decision on one task sees."""

    task: Task | None
    """As the manager wants it; None when the manager has forgotten it."""
    status: TaskStatus
    """As last reported."""
    container: Container | None
    now: float
    fault: Fault | None = None
    port_status: PortStatus | None = None
    """Ports of this host that were given to the task."""
    is_cut_off: bool = False
    """No manager has answered this node for longer than the task may run without one."""
    may_have_files: bool = True
    """Whether the secrets and configs of the task are here, or are known to be gone. False: wait for a manager."""


def decide(situation: Situation) -> Decision:
    """Says what comes next."""
    task, status = situation.task, situation.status
    if task is None:
        return _forget(situation)
    if is_final(status):
        return _stop_if_running(situation) or Wait()
    if task.desired_state >= TaskState.SHUTDOWN or is_final(task.status):
        return _stop_if_running(situation) or _become(situation, TaskState.SHUTDOWN, "shutdown")
    if situation.is_cut_off and not is_failing(status):
        return _cut_off(situation)
    return _advance(situation, task)


def _advance(situation: Situation, task: Task) -> Decision:
    match situation.status.state:
        case TaskState.NEW | TaskState.PENDING | TaskState.ASSIGNED:
            return _become(situation, TaskState.ACCEPTED, "accepted")
        case TaskState.ACCEPTED:
            return _become(situation, TaskState.PREPARING, "preparing")
        case TaskState.PREPARING:
            return _prepare(situation)
        case TaskState.READY:
            return _ready(situation, task)
        case _:
            return _run(situation)


def is_final(status: TaskStatus) -> bool:
    """Whether the task has ended, one way or another."""
    return status.state > TaskState.RUNNING


def is_failing(status: TaskStatus) -> bool:
    """Whether the task runs, but only until its container is stopped: its error is known already."""
    return status.state in (TaskState.STARTING, TaskState.RUNNING) and bool(status.err)


# ----------------------------------------------------------------------------------- by state


def _prepare(situation: Situation) -> Decision:
    container = situation.container
    if container is None:
        return _attempt(situation, Create())
    if container.state is not ContainerState.CREATED:  # adopted: it was started once
        return _become(situation, TaskState.STARTING, "starting")
    return _become(situation, TaskState.READY, "prepared")


def _ready(situation: Situation, task: Task) -> Decision:
    if situation.container is None:
        return _attempt(situation, Create())
    if task.desired_state < TaskState.RUNNING or not situation.may_have_files:
        return Wait()
    return _become(situation, TaskState.STARTING, "starting")


def _run(situation: Situation) -> Decision:
    """STARTING or RUNNING: follow the container."""
    status, container = situation.status, situation.container
    if is_failing(status):
        return _stop_if_running(situation) or _fail(situation, status.err)
    was_begun = status.state is not TaskState.STARTING
    if container is None or (container.state is ContainerState.CREATED and was_begun):
        return _fail(situation, CONTAINER_GONE)
    match container.state:
        case ContainerState.CREATED:
            start = _attempt(situation, Start(container_id=container.id))
            return start if situation.may_have_files else Wait()
        case ContainerState.RUNNING | ContainerState.PAUSED:
            return _follow_health(situation, container)
        case ContainerState.RESTARTING:
            return Wait()
        case ContainerState.EXITED | ContainerState.DEAD:
            return _ended(situation, container)


def _follow_health(situation: Situation, container: Container) -> Decision:
    status = situation.status
    match container.health.state:
        case Health.UNHEALTHY:
            return _become(situation, status.state, status.message, err=UNHEALTHY)
        case Health.STARTING:
            return Wait()
        case Health.NONE | Health.HEALTHY:
            if status.state is TaskState.RUNNING:
                return Wait()
            return _become(situation, TaskState.RUNNING, "started")


def _ended(situation: Situation, container: Container) -> Decision:
    if container.exit_code == 0 and not container.error:
        return _become(situation, TaskState.COMPLETE, "finished")
    cause = container.error or ("out of memory" if container.oom_killed else "")
    text = f"task: non-zero exit ({container.exit_code})"
    return _fail(situation, f"{text}: {cause}" if cause else text)


def _cut_off(situation: Situation) -> Decision:
    """Another copy may be started elsewhere before long: this one stops, or never starts."""
    status = situation.status
    if status.state in (TaskState.STARTING, TaskState.RUNNING):
        return _become(situation, status.state, status.message, err=CUT_OFF)
    return _stop_if_running(situation) or _fail(situation, CUT_OFF)


def _forget(situation: Situation) -> Decision:
    container = situation.container
    if container is None:
        return Gone()
    return _stop_if_running(situation) or _persist(situation, Remove(container_id=container.id))


# -------------------------------------------------------------------------------------- steps


def _attempt(situation: Situation, step: Step) -> Decision:
    """Does a step that may fail for good: then the task has failed."""
    fault = situation.fault
    if fault is None or fault.step != step:
        return step
    if fault.temporary and fault.attempts < ATTEMPTS_MAX:
        return _again(situation, fault)
    return _fail(situation, fault.error)


def _persist(situation: Situation, step: Step) -> Decision:
    """Does a step that has to succeed one day: what runs must not be reported as stopped."""
    fault = situation.fault
    return step if fault is None or fault.step != step else _again(situation, fault)


def _again(situation: Situation, fault: Fault) -> Decision:
    again_at = fault.at + RETRY_SECONDS
    return fault.step if situation.now >= again_at else Wait(until=again_at)


def _stop_if_running(situation: Situation) -> Decision | None:
    container = situation.container
    if container is None or not container.has_process:
        return None
    grace = stop_grace_seconds(container.config.spec)
    return _persist(situation, Stop(container_id=container.id, grace_seconds=grace))


# ----------------------------------------------------------------------------------- statuses


def _fail(situation: Situation, err: str) -> Become:
    started = situation.status.state >= TaskState.STARTING
    state = TaskState.FAILED if started else TaskState.REJECTED
    return _become(situation, state, situation.status.message, err=err)


def _become(situation: Situation, state: TaskState, message: str, *, err: str = "") -> Become:
    return Become(
        status=replace(
            situation.status,
            timestamp=situation.now,
            state=state,
            message=message,
            err=err,
            container_status=_container_status(situation),
            port_status=situation.port_status,
            applied_at=0.0,
        )
    )


def _container_status(situation: Situation) -> ContainerStatus | None:
    container = situation.container
    if container is None:
        return situation.status.container_status
    return ContainerStatus(
        container_id=container.id, pid=container.pid, exit_code=container.exit_code
    )
