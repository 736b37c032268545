import pytest

from common.model.node import NodeState
from common.model.policies import RestartCondition, RestartPolicy
from common.model.service import Service
from common.model.task import Task, TaskState
from manager.orchestrator.restart import (
    DEFAULT_DELAY_SECONDS,
    OLD_TASK_TIMEOUT_SECONDS,
    should_restart,
    start_at,
)
from manager.orchestrator.slots import slot_with
from tests.support.builders import NOW, node, service, task, template, updated

S = TaskState
NEVER, ON_FAILURE, ALWAYS = RestartCondition.NONE, RestartCondition.ON_FAILURE, RestartCondition.ANY


def web(**policy: object) -> Service:
    return service(spec=template(restart=RestartPolicy(**policy)))  # type: ignore[arg-type]


def past(of: Service, *ends: tuple[TaskState, float]) -> list[Task]:
    """Tasks of one slot that ended so many seconds ago, each made when the one before ended."""
    made: list[Task] = []
    for number, (state, ago) in enumerate(ends):
        since = NOW - ago
        made.append(
            task(1, state, of=of, name=f"t{number}", desired=S.SHUTDOWN, at=since - 1, since=since)
        )
    return made


CASES: dict[str, tuple[dict[str, object], list[tuple[TaskState, float]], bool]] = {
    "any: after a failure": ({}, [(S.FAILED, 0)], True),
    "any: after completion": ({}, [(S.COMPLETE, 0)], True),
    "any: after a stop that nobody asked a new task for": ({}, [(S.SHUTDOWN, 0)], True),
    "on failure: after a failure": ({"condition": ON_FAILURE}, [(S.FAILED, 0)], True),
    "on failure: not after completion": ({"condition": ON_FAILURE}, [(S.COMPLETE, 0)], False),
    "none: never": ({"condition": NEVER}, [(S.FAILED, 0)], False),
    "no attempts stated: for ever": ({"max_attempts": 0}, [(S.FAILED, n) for n in (3, 2, 1)], True),
    "the last attempt is left": ({"max_attempts": 2}, [(S.FAILED, n) for n in (2, 1)], True),
    "attempts used up": ({"max_attempts": 2}, [(S.FAILED, n) for n in (3, 2, 1)], False),
    "a stop on request is no attempt": (
        {"max_attempts": 2},
        [(S.FAILED, 3), (S.SHUTDOWN, 2), (S.FAILED, 1)],
        True,
    ),
    "what failed before the window is forgiven": (
        {"max_attempts": 1, "window_seconds": 10.0},
        [(S.FAILED, 60), (S.FAILED, 30), (S.FAILED, 0)],
        True,
    ),
    "attempts used up within the window": (
        {"max_attempts": 1, "window_seconds": 10.0},
        [(S.FAILED, 60), (S.FAILED, 5), (S.FAILED, 0)],
        False,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_should_restart(case: str) -> None:
    policy, ends, expected = CASES[case]
    tasks = past(web(**policy), *ends)
    assert expected == should_restart(tasks[-1], slot_with(list(tasks)))


def test_attempts_of_an_older_spec_do_not_count() -> None:
    old = web(max_attempts=1)
    new = updated(old)
    failed = [*past(old, (S.FAILED, 30), (S.FAILED, 20)), *past(new, (S.FAILED, 0))]
    last = failed[-1]
    assert should_restart(last, slot_with(failed))


def waiting(of: Service) -> Task:
    return task(1, S.READY, of=of, name="new", desired=S.READY, at=NOW)


def test_a_restart_waits_for_the_delay() -> None:
    of = web(delay_seconds=7.0)
    assert start_at(waiting(of), past(of, (S.FAILED, 0)), {}, NOW) == NOW + 7.0


def test_the_delay_is_five_seconds_unless_stated() -> None:
    of = web()
    assert start_at(waiting(of), past(of, (S.REJECTED, 0)), {}, NOW) == NOW + DEFAULT_DELAY_SECONDS


def test_an_update_does_not_wait_for_the_restart_delay() -> None:
    old = web(delay_seconds=7.0)
    assert start_at(waiting(updated(old)), past(old, (S.FAILED, 0)), {}, NOW) == NOW


def test_a_new_task_waits_for_the_old_one_to_stop() -> None:
    of = web()
    stopping = task(1, S.RUNNING, of=of, name="old", desired=S.SHUTDOWN)
    nodes = {"n1": node("n1")}
    assert start_at(waiting(of), [stopping], nodes, NOW) == NOW + OLD_TASK_TIMEOUT_SECONDS


@pytest.mark.parametrize("nodes", [{}, {"n1": node("n1", state=NodeState.DOWN)}])
def test_nobody_waits_for_a_node_that_is_down_or_gone(nodes: dict[str, object]) -> None:
    of = web()
    stopping = task(1, S.RUNNING, of=of, name="old", desired=S.SHUTDOWN)
    assert start_at(waiting(of), [stopping], nodes, NOW) == NOW  # type: ignore[arg-type]
