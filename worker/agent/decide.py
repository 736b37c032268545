"""Pure: which tasks to take up, to change and to let go, out of what is wanted and what is here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from common.model.task import Task, TaskState
from worker.containers.record import Container


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the agent does about its tasks."""

    begin: tuple[Task, ...] = ()
    """Tasks that are new here."""
    change: tuple[Task, ...] = ()
    """Tasks of which something else is wanted now."""
    forget: tuple[str, ...] = ()
    """Tasks that are no longer wanted: stop and remove them."""
    strays: tuple[Container, ...] = ()
    """Containers of tasks that nobody knows any more: stop and remove them."""


def decide(
    wanted: Mapping[str, Task],
    known: Mapping[str, Task | None],
    present: Iterable[Container],
    *,
    is_complete: bool,
) -> Plan:
    """Compares the tasks wanted with those known (None: being forgotten) and the containers present.

    As long as the wanted tasks are not known to be complete, a container of an unknown task is left alone.
    """
    return Plan(
        begin=tuple(task for task_id, task in wanted.items() if task_id not in known),
        change=tuple(
            task for task_id, task in wanted.items() if _is_changed(known.get(task_id), task)
        ),
        forget=tuple(
            task_id for task_id, task in known.items() if task is not None and task_id not in wanted
        ),
        strays=tuple(
            container
            for container in present
            if is_complete
            and container.config.task_id
            and container.config.task_id not in wanted
            and container.config.task_id not in known
        ),
    )


def _is_changed(before: Task | None, now: Task) -> bool:
    """Whether something differs that the agent does not itself report."""
    return before is not None and (
        before.desired_state != now.desired_state
        or (now.status.state > TaskState.RUNNING) != (before.status.state > TaskState.RUNNING)
    )
