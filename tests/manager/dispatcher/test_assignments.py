from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.codec import encode
from common.model.container_spec import ContainerSpec
from common.model.task import Task, TaskSpec, TaskState, TaskStatus
from common.protocol.messages import TASKS_PER_MESSAGE_MAX
from manager.dispatcher.assignments import (
    ASSIGNMENTS_BYTES_MAX,
    Difference,
    Told,
    difference,
    difference_messages,
    full_messages,
    told_of,
)
from worker.agent.inbox import Inbox, SequenceGapError, receive

ASSIGNED = TaskState.ASSIGNED


def task(
    task_id: str = "t",
    state: TaskState = ASSIGNED,
    desired: TaskState = TaskState.RUNNING,
    node: str = "n1",
) -> Task:
    return Task(id=task_id, node_id=node, desired_state=desired, status=TaskStatus(state=state))


RUNS = Told(TaskState.RUNNING, is_finished=False)
CASES = {
    "a task newly assigned is told": (task(), None, "told"),
    "a task that is only meant for the node is not": (task(state=TaskState.PENDING), None, ""),
    "another node's task is not": (task(node="n2"), None, ""),
    "what the agent itself reported is not told back": (task(state=TaskState.RUNNING), RUNS, ""),
    "a new desired state is told": (task(desired=TaskState.SHUTDOWN), RUNS, "told"),
    "a verdict of a manager is told": (task(state=TaskState.REJECTED), RUNS, "told"),
    "a task to be removed stays assigned until it is deleted": (
        task(state=TaskState.SHUTDOWN, desired=TaskState.REMOVE),
        Told(TaskState.REMOVE, is_finished=True),
        "",
    ),
    "a deleted task is let go": (None, RUNS, "let go"),
    "a deleted task that was never told is not": (None, None, ""),
}


@pytest.mark.parametrize("case", CASES)
def test_difference(case: str) -> None:
    stored, told, expected = CASES[case]
    found = difference(
        "n1",
        ["t"],
        {"t": stored} if stored is not None else {},
        {"t": told} if told is not None else {},
    )
    assert (
        found
        == {
            "": Difference(),
            "told": Difference(tasks=(stored,) if stored else ()),
            "let go": Difference(removed=("t",)),
        }[expected]
    )


def test_a_large_set_is_told_in_parts_and_taken_whole() -> None:
    tasks = [task(f"t{n}") for n in range(2 * TASKS_PER_MESSAGE_MAX + 1)]
    old = Inbox(number=7, tasks={"old": task("old")}, is_complete=True)
    first, second, third = full_messages(tasks, 1)
    partly = receive(receive(old, first), second)
    assert partly.tasks == old.tasks
    whole = receive(partly, third)
    assert whole == Inbox(
        number=3, tasks={each.id: each for each in tasks}, is_complete=True, unfinished=None
    )


def test_nothing_at_all_is_told_too() -> None:
    (message,) = full_messages([], 1)
    inbox = receive(Inbox(tasks={"old": task("old")}), message)
    assert (dict(inbox.tasks), inbox.is_complete) == ({}, True)


def test_a_difference_to_something_unknown_is_a_gap() -> None:
    (message,) = difference_messages(Difference(removed=("t",)), 4)
    with pytest.raises(SequenceGapError):
        receive(Inbox(number=3), message)


def test_a_desired_state_that_was_heard_does_not_go_back() -> None:
    inbox = Inbox(tasks={"t": task(desired=TaskState.SHUTDOWN)})
    (message,) = full_messages([task()], 1)
    assert receive(inbox, message).tasks["t"].desired_state is TaskState.SHUTDOWN


tasks_by_id = st.dictionaries(
    st.sampled_from("abcdef"),
    st.builds(
        task,
        state=st.sampled_from([TaskState.PENDING, ASSIGNED, TaskState.RUNNING, TaskState.FAILED]),
        desired=st.sampled_from([TaskState.READY, TaskState.RUNNING, TaskState.SHUTDOWN]),
        node=st.sampled_from(["n1", "n2"]),
    ),
).map(lambda found: {key: replace(value, id=key) for key, value in found.items()})


@given(tasks_by_id, st.lists(tasks_by_id, max_size=5))
def test_differences_in_order_lead_to_the_same_as_being_told_everything(
    first: dict[str, Task], later: list[dict[str, Task]]
) -> None:
    def mine(tasks: dict[str, Task]) -> list[Task]:
        return [t for t in tasks.values() if t.node_id == "n1" and t.status.state >= ASSIGNED]

    inbox, number, told = Inbox(), 0, dict[str, Told]()
    for message in full_messages(mine(first), 1):
        inbox, number = receive(inbox, message), message.results_in
    told = {each.id: told_of(each) for each in mine(first)}
    for tasks in later:
        found = difference("n1", "abcdef", tasks, told)
        if found:
            for message in difference_messages(found, number):
                inbox, number = receive(inbox, message), message.results_in
        told = {each.id: told_of(each) for each in mine(tasks)}
        assert not difference("n1", "abcdef", tasks, told)
    latest = [first, *later][-1]
    assert set(inbox.tasks) == {each.id for each in mine(latest)}


def test_large_tasks_are_told_in_parts_of_a_bounded_size() -> None:
    spec = TaskSpec(container_spec=ContainerSpec(image="i", env=("x" * 300_000,)))
    tasks = [replace(task(str(number)), spec=spec) for number in range(7)]
    messages = list(full_messages(tasks, 1))
    assert [len(message.tasks) for message in messages] == [3, 3, 1]
    assert all(len(encode(message)) <= ASSIGNMENTS_BYTES_MAX for message in messages)
    assert [message.continues for message in messages] == [True, True, False]


def test_a_task_that_is_larger_than_that_is_told_alone() -> None:
    spec = TaskSpec(container_spec=ContainerSpec(image="i", env=("x" * 2_000_000,)))
    tasks = [task("a"), replace(task("b"), spec=spec), task("c")]
    told = [[one.id for one in message.tasks] for message in full_messages(tasks, 1)]
    assert told == [["a"], ["b"], ["c"]]
