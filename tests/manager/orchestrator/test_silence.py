"""Tasks with a lease on nodes that are down: given up once they surely run no more, and never before."""

from dataclasses import replace

import pytest

from common.disconnect import STOP_AFTER_LABEL, silence_seconds_until_stopped
from common.model.node import Node, NodeState
from common.model.task import Task, TaskState, TaskStatus
from manager.orchestrator.silence import Silences, SilentNode, decide
from manager.store.changes import ObserveTask
from tests.support.builders import NOW, node, template

DOWN = node("n1", state=NodeState.DOWN)


def leased(name: str, after: str = "30s", state: TaskState = TaskState.RUNNING) -> Task:
    return Task(
        id=name, node_id="n1", spec=template(), status=TaskStatus(state=state),
        service_labels={STOP_AFTER_LABEL: after},
    )  # fmt: skip


NEEDED = silence_seconds_until_stopped(leased("t")) or 0.0
CASES: dict[str, tuple[list[Task], float, list[str], float | None]] = {
    "too early": ([leased("a")], NEEDED - 1, [], NOW + 1),
    "at its time": ([leased("a")], NEEDED, ["a"], None),
    "each at its own time": ([leased("a"), leased("b", "1m")], NEEDED, ["a"], NOW + 30 * 1.001),
    "never one without a lease": (
        [Task(id="a", node_id="n1", status=TaskStatus(state=TaskState.RUNNING))], 1e9, [], None,
    ),
    "nor one that has ended": ([leased("a", state=TaskState.FAILED)], 1e9, [], None),
    "nor one that no node has": ([leased("a", state=TaskState.PENDING)], 1e9, [], None),
    "but one that may be started": ([leased("a", state=TaskState.ASSIGNED)], 1e9, ["a"], None),
}  # fmt: skip


@pytest.mark.parametrize(("tasks", "silent", "given_up", "again"), CASES.values(), ids=CASES)
def test_gives_up(
    tasks: list[Task], silent: float, given_up: list[str], again: float | None
) -> None:
    verdict = decide(SilentNode(node=DOWN, tasks=tasks, silent_seconds=silent), NOW)
    assert verdict.look_again_at == (None if again is None else pytest.approx(again))
    found = [change for change in verdict.changes if isinstance(change, ObserveTask)]
    assert [change.task_id for change in found] == given_up
    assert all(change.status.state is TaskState.ORPHANED for change in found)


def changed(before: Node, **fields: object) -> Node:
    return replace(before, version=before.version + 1, **fields)  # type: ignore[arg-type]


def test_silence_counts_from_the_first_sight_of_it() -> None:
    silences = Silences()
    silences.note(DOWN, "n1", 100.0)
    relabelled = changed(DOWN, spec=replace(DOWN.spec, labels={"a": "b"}))
    silences.note(relabelled, "n1", 150.0)
    assert silences.seconds(relabelled, 160.0) == 60.0


def test_a_node_that_was_heard_begins_anew() -> None:
    silences = Silences()
    silences.note(DOWN, "n1", 100.0)
    silences.note(changed(DOWN, status=node().status), "n1", 150.0)
    silences.note(DOWN, "n1", 160.0)
    assert silences.seconds(DOWN, 170.0) == 10.0


def test_what_was_not_noted_yet_counts_nothing() -> None:
    silences = Silences()
    silences.note(DOWN, "n1", 100.0)
    assert silences.seconds(changed(DOWN), 170.0) == 0.0
    assert silences.seconds(node("n2", state=NodeState.DOWN), 170.0) == 0.0


def test_a_new_leader_begins_anew() -> None:
    silences = Silences()
    silences.note(DOWN, "n1", 100.0)
    silences.begin([DOWN, node("n2")], 150.0)
    assert silences.seconds(DOWN, 160.0) == 10.0
