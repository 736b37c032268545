from dataclasses import replace

import pytest

from common.model.policies import RestartPolicy
from common.model.service import Service, UpdateState, UpdateStatus
from common.model.task import Task, TaskState
from manager.orchestrator.history import HistoryView, decide
from manager.store.changes import Delete
from tests.support.builders import NOW, node, service, task, template, updated

S = TaskState
WEB = service()
TRIED_THRICE = service(spec=template(restart=RestartPolicy(max_attempts=3)))
UPDATED = replace(updated(WEB), update_status=UpdateStatus(state=UpdateState.UPDATING))


def ended(number: int, of: Service = WEB, state: TaskState = S.FAILED) -> Task:
    at = NOW - 100 + number
    return task(1, state, of=of, name=f"t{number}", desired=S.SHUTDOWN, at=at)


def removed(name: str, state: TaskState, node_id: str = "n1") -> Task:
    return task(1, state, name=name, desired=S.REMOVE, node_id=node_id)


def wanted(desired: TaskState = S.RUNNING, of: Service = WEB) -> Task:
    return task(1, S.READY, of=of, name="new", desired=desired, at=NOW)


CASES: dict[str, tuple[Service | None, list[Task], int, set[str]]] = {
    "the oldest beyond the limit": (WEB, [*map(ended, range(5)), wanted()], 3, {"t0", "t1", "t2"}),
    "a negative limit keeps all": (WEB, [*map(ended, range(9)), wanted()], -1, set()),
    "nothing but what is wanted": (WEB, [ended(0), wanted()], 0, {"t0"}),
    "the end that a waiting restart counts from stays": (
        WEB,
        [ended(0), wanted(S.READY)],
        0,
        set(),
    ),
    "the last end stays when nothing follows": (WEB, [ended(0), ended(1)], 0, {"t0"}),
    "attempts stay countable": (
        TRIED_THRICE,
        [*(ended(n, TRIED_THRICE) for n in range(5)), wanted(of=TRIED_THRICE)],
        1,
        {"t0"},
    ),
    "what an update is judged by stays": (
        UPDATED,
        [ended(0), ended(1), *(ended(n, UPDATED) for n in (2, 3, 4)), wanted(of=UPDATED)],
        1,
        {"t0", "t3", "t4"},
    ),
    "what still runs stays, however old": (
        WEB,
        [ended(0, state=S.RUNNING), ended(1), wanted()],
        0,
        {"t1"},
    ),
    "what no node ever had goes at once": (WEB, [ended(0, state=S.PENDING), wanted()], 5, {"t0"}),
    "removed and ended": (None, [removed("a", S.SHUTDOWN)], 5, {"a"}),
    "removed and never assigned": (None, [removed("a", S.NEW)], 5, {"a"}),
    "removed, on a node that is gone": (None, [removed("a", S.RUNNING, "n9")], 5, {"a"}),
    "removed but not stopped yet": (None, [removed("a", S.RUNNING)], 5, set()),
}


@pytest.mark.parametrize("case", CASES)
def test_history(case: str) -> None:
    of, tasks, limit, expected = CASES[case]
    view = HistoryView(service=of, tasks=tasks, nodes={"n1": node()}, limit=limit)
    changes = decide(view).changes
    assert expected == {change.id for change in changes if isinstance(change, Delete)}
    assert all(isinstance(change, Delete) and change.basis for change in changes)
