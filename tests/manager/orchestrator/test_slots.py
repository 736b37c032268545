import pytest

from common.model.task import Task, TaskState
from manager.orchestrator.slots import by_number, standing, surplus
from tests.support.builders import task

S = TaskState

CASES: dict[str, tuple[list[Task], int, set[int]]] = {
    "the node with the most copies loses first": (
        [task(1, node_id="n1"), task(2, node_id="n1"), task(3, node_id="n2")],
        2,
        {2},
    ),
    "what does not run goes before what does": (
        [task(1, S.PREPARING, node_id="n1"), task(2, node_id="n2"), task(3, node_id="n3")],
        2,
        {1},
    ),
    "a task without a node goes before all others": (
        [task(1, node_id="n1"), task(2, S.PENDING), task(3, node_id="n1")],
        2,
        {2},
    ),
    "else the higher number goes": ([task(n, node_id=f"n{n}") for n in (1, 2, 3)], 1, {2, 3}),
    "all of them": ([task(1), task(2)], 0, {1, 2}),
}


@pytest.mark.parametrize("case", CASES)
def test_surplus(case: str) -> None:
    tasks, replicas, expected = CASES[case]
    slots = by_number(tasks).values()
    assert expected == set(surplus(map(standing, slots), replicas))


def test_tasks_to_be_removed_belong_to_no_slot() -> None:
    assert by_number([task(1, desired=S.REMOVE)]) == {}


def test_a_slot_tells_the_past_from_what_is_wanted() -> None:
    old = task(1, S.FAILED, name="old", desired=S.SHUTDOWN, at=1.0)
    new = task(1, S.READY, name="new", desired=S.READY, at=2.0)
    slot = by_number([new, old])[1]
    assert (slot.past, slot.wanted, slot.tasks) == ((old,), (new,), (old, new))
