"""What the removal of a node writes, and when it is refused."""

import pytest

from common.disconnect import STOP_AFTER_LABEL
from common.errors import InvalidInputError
from common.model.node import Node, NodeState, NodeStatus
from common.model.task import Task, TaskState, TaskStatus
from manager.api.node_removal import TASKS_WITH_NODE_MAX, check_may_go, removal
from manager.store.changes import Delete, ObserveTask
from manager.store.store import MAX_CHANGES_PER_ENTRY

DOWN = Node(id="n1", version=7, status=NodeStatus(state=NodeState.DOWN))
READY = Node(id="n1", version=7, status=NodeStatus(state=NodeState.READY))


def task(name: str, state: TaskState = TaskState.RUNNING, **labels: str) -> Task:
    return Task(
        id=name, service_name="web", node_id="n1", status=TaskStatus(state=state),
        service_labels=labels,
    )  # fmt: skip


def test_what_may_run_is_given_up_in_the_same_entry() -> None:
    tasks = [task("a"), task("b", TaskState.FAILED), task("c", TaskState.ASSIGNED)]
    (entry,) = removal(None, DOWN, tasks, 5.0)
    given_up, last = entry[:-1], entry[-1]
    assert [change.task_id for change in given_up if isinstance(change, ObserveTask)] == ["a", "c"]
    assert all(
        isinstance(change, ObserveTask) and change.status.state is TaskState.ORPHANED
        for change in given_up
    )
    assert last == Delete(table="node", id="n1", basis=7)


@pytest.mark.parametrize("count", [0, 1, TASKS_WITH_NODE_MAX, TASKS_WITH_NODE_MAX + 1, 1000])
def test_every_task_once_and_the_node_last_in_entries_that_fit(count: int) -> None:
    entries = removal(None, DOWN, [task(str(number)) for number in range(count)], 5.0)
    assert all(len(entry) < MAX_CHANGES_PER_ENTRY for entry in entries)
    changes = [change for entry in entries for change in entry]
    assert [c.task_id for c in changes if isinstance(c, ObserveTask)] == list(
        map(str, range(count))
    )
    assert isinstance(changes[-1], Delete)


REFUSED = {
    "it is there": (READY, [], "node n1 is not down and can't be removed"),
    "what must not run twice may run there": (
        DOWN,
        [task("a", TaskState.RUNNING, **{STOP_AFTER_LABEL: "1m"})],
        "node n1 may still run tasks of web",
    ),
}


@pytest.mark.parametrize(("node", "tasks", "error"), REFUSED.values(), ids=REFUSED)
def test_refused(node: Node, tasks: list[Task], error: str) -> None:
    with pytest.raises(InvalidInputError, match=error):
        check_may_go(node, tasks)


def test_given_up_tasks_keep_no_node() -> None:
    leased = {STOP_AFTER_LABEL: "1m"}
    check_may_go(DOWN, [task("a"), task("b", TaskState.ORPHANED, **leased)])
