from collections.abc import Mapping

import pytest

from common.model.container_spec import ContainerSpec
from common.model.task import Task, TaskState, TaskStatus
from worker.agent.decide import Plan, decide
from worker.containers.record import Container, ContainerConfig


def task(desired: TaskState = TaskState.RUNNING, state: TaskState = TaskState.ASSIGNED) -> Task:
    return Task(id="t", desired_state=desired, status=TaskStatus(state=state))


def container(task_id: str) -> Container:
    config = ContainerConfig(name=task_id, spec=ContainerSpec(), task_id=task_id)
    return Container(id=f"c-{task_id}", config=config, image_id="", created_at=1.0)


STRAY, MANUAL = container("gone"), container("")
STOPPING = task(TaskState.SHUTDOWN)
GIVEN_UP = task(state=TaskState.REJECTED)
NONE: Mapping[str, Task | None] = {}

CASES: dict[str, tuple[Mapping[str, Task], Mapping[str, Task | None], Plan]] = {
    "takes up a new task": ({"t": task()}, NONE, Plan(begin=(task(),))),
    "leaves what is as wanted": ({"t": task()}, {"t": task()}, Plan()),
    "hears of a new desired state": (
        {"t": STOPPING},
        {"t": task()},
        Plan(change=(STOPPING,)),
    ),
    "hears of a manager's verdict": ({"t": GIVEN_UP}, {"t": task()}, Plan(change=(GIVEN_UP,))),
    "does not listen to its own echo": (
        {"t": task(state=TaskState.RUNNING)},
        {"t": task()},
        Plan(),
    ),
    "lets go what is not wanted": ({}, {"t": task()}, Plan(forget=("t",))),
    "lets go only once": ({}, {"t": None}, Plan()),
}


@pytest.mark.parametrize("case", CASES)
def test_decide(case: str) -> None:
    wanted, known, plan = CASES[case]
    assert decide(wanted, known, (), is_complete=True) == plan


def test_a_container_of_an_unknown_task_is_a_stray_once_all_is_known() -> None:
    present = (STRAY, MANUAL, container("t"))
    wanted, known = {"t": task()}, {"t": task()}
    assert decide(wanted, known, present, is_complete=False) == Plan()
    assert decide(wanted, known, present, is_complete=True) == Plan(strays=(STRAY,))
    assert decide(wanted, {**known, "gone": None}, present, is_complete=True) == Plan()
