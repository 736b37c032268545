from typing import Any

import pytest

from cli.swarmctl.convergence import Verdict, judge, last_failure


def service(replicas: int = 1, update: str = "", message: str = "why") -> dict[str, Any]:
    status = {"UpdateStatus": {"State": update, "Message": message}} if update else {}
    return {"Spec": {"Mode": {"Replicated": {"Replicas": replicas}}}} | status


def task(state: str, slot: int = 1, created: int = 1, err: str = "") -> dict[str, Any]:
    desired = "running" if state in ("running", "starting", "preparing", "pending") else "shutdown"
    return {
        "Slot": slot,
        "CreatedAt": f"2026-01-01T00:00:0{created}Z",
        "DesiredState": desired,
        "Status": {"State": state, "Err": err},
    }


REJECTED = task("rejected", err="No such image: x:1")

CASES: dict[str, tuple[dict[str, Any], list[dict[str, Any]], Verdict, str]] = {
    "nothing yet": (service(), [], Verdict.WAITING, ""),
    "starting": (service(), [task("starting")], Verdict.WAITING, ""),
    "all run": (service(2), [task("running", 1), task("running", 2)], Verdict.RUNNING, ""),
    "one too many still runs": (
        service(1),
        [task("running", 1), task("running", 2)],
        Verdict.WAITING,
        "",
    ),
    "none wanted": (service(0), [], Verdict.RUNNING, ""),
    "a first failure may heal": (
        service(),
        [REJECTED, task("preparing", created=2)],
        Verdict.WAITING,
        "",
    ),
    "three failures will not": (
        service(),
        [REJECTED, REJECTED, REJECTED, task("preparing", created=2)],
        Verdict.FAILED,
        "No such image: x:1 (3 attempts)",
    ),
    "no further attempt": (
        service(),
        [task("failed", err="exit 1")],
        Verdict.STUCK,
        "exit 1 (1 attempt)",
    ),
    "failed once, runs now": (
        service(),
        [REJECTED, task("running", created=2)],
        Verdict.RUNNING,
        "",
    ),
    "updating": (service(1, "updating"), [task("running")], Verdict.WAITING, "why"),
    "updated": (service(1, "completed"), [task("running")], Verdict.CONVERGED, "why"),
    "paused": (service(1, "paused"), [], Verdict.FAILED, "service update paused: why"),
    "paused while another attempt is under way": (
        service(1, "paused"),
        [REJECTED, task("preparing", created=2)],
        Verdict.FAILED,
        "service update paused: why: No such image: x:1",
    ),
    "rolled back": (
        service(1, "rollback_completed"),
        [],
        Verdict.FAILED,
        "service rolled back: why",
    ),
    "rollback paused": (
        service(1, "rollback_paused"),
        [],
        Verdict.FAILED,
        "service rollback paused: why",
    ),
}


@pytest.mark.parametrize(("found", "tasks", "verdict", "reason"), CASES.values(), ids=CASES)
def test_judges(
    found: dict[str, Any], tasks: list[dict[str, Any]], verdict: Verdict, reason: str
) -> None:
    look = judge(found, tasks, nodes=0)
    assert (look.verdict, look.reason) == (verdict, reason)


def test_a_rollback_that_was_asked_for_is_a_success() -> None:
    look = judge(service(1, "rollback_completed"), [task("running")], nodes=0, rollback_asked=True)
    assert look.verdict is Verdict.CONVERGED


def test_a_global_service_covers_the_nodes() -> None:
    found: dict[str, Any] = {"Spec": {"Mode": {"Global": {}}}}
    tasks = [task("running", 0) | {"NodeID": "n1"}]
    assert judge(found, tasks, nodes=2).verdict is Verdict.WAITING
    assert (
        judge(found, [*tasks, task("running", 0) | {"NodeID": "n2"}], nodes=2).verdict
        is Verdict.RUNNING
    )


def test_the_newest_failure_tells_why() -> None:
    tasks = [task("failed", created=1, err="old"), task("rejected", created=2, err="new")]
    assert last_failure([*tasks, task("running", created=3)]) == "new"
    assert last_failure([task("running")]) == ""


def test_errors_are_told_apart_from_states() -> None:
    look = judge(service(2), [task("starting", 1), task("pending", 2, err="no node")], nodes=0)
    assert look.states == ("1/2: starting", "2/2: pending (no node)")
    assert look.troubles == ("2/2: pending (no node)",)
