from collections.abc import Callable, Sequence
from typing import Any

import click
import pytest
from typing_extensions import override

from cli.swarmctl.client import CannotConnectError, Client
from cli.swarmctl.now import Stopwatch
from cli.swarmctl.progress import RECONNECT_SECONDS, STUCK_SECONDS, wait_for_convergence

Look = dict[str, Any] | type[BaseException]


class Time(Stopwatch):
    """Time that passes by waiting only."""

    def __init__(self) -> None:
        self.passed = 0.0

    @override
    def read(self) -> float:
        return self.passed

    @override
    def sleep(self, seconds: float) -> None:
        self.passed = round(self.passed + seconds, 3)
        assert self.passed < 60, "waited for ever"


def look(*tasks: str, update: str = "", replicas: int = 1) -> dict[str, Any]:
    """A service with its tasks: "1 running", "2 rejected reason"."""
    parsed = [text.split(" ", 2) for text in tasks]
    return {
        "service": {
            "Spec": {"Mode": {"Replicated": {"Replicas": replicas}}},
            **({"UpdateStatus": {"State": update, "Message": "m"}} if update else {}),
        },
        "tasks": [
            {
                "Slot": int(slot),
                "CreatedAt": f"{number}",
                "DesiredState": "running" if state == "running" else "shutdown",
                "Status": {"State": state, "Err": rest[0] if rest else ""},
            }
            for number, (slot, state, *rest) in enumerate(parsed)
        ],
    }


class Looks(Client):
    """A client that sees one service in one look after another; the last stays."""

    def __init__(self, *looks: Look, others: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__("unix:///nowhere", {})
        self._looks, self._others = list(looks), list(others)
        self._now: dict[str, Any] = {}

    @override
    def get(self, path: str, /, **query: str) -> Any:
        if path.startswith("/services/"):
            found = self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]
            if isinstance(found, type):
                raise found("gone")
            self._now = found
            return found["service"]
        if path == "/nodes":
            return [
                {"ID": "n1", "Status": {"State": "ready"}},
                {"ID": "n2", "Status": {"State": "down"}},
            ]
        more = [] if "_up-to-date" in query["filters"] else self._others
        return [*self._now["tasks"], *more]


Wait = Callable[..., float]


@pytest.fixture
def wait() -> Wait:
    """Waits for the looks; gives how long it took."""

    def wait_for(client: Client, *, quiet: bool = False, **more: bool) -> float:
        time = Time()
        wait_for_convergence(client, "id", name="web", quiet=quiet, stopwatch=time, **more)
        return time.passed

    return wait_for


def test_waits_until_the_update_is_complete(wait: Wait, capsys: pytest.CaptureFixture[str]) -> None:
    updating = look("1 running", update="updating")
    took = wait(Looks(updating, updating, look("1 running", update="completed")))
    assert took == pytest.approx(0.2)
    assert capsys.readouterr().out == (
        "overall progress: 1 out of 1 tasks\nverify: Service web converged\n"
    )


def test_without_an_update_the_tasks_are_watched_for_five_seconds(wait: Wait) -> None:
    running, starting = look("1 running"), look("1 starting")
    assert wait(Looks(starting, running)) == pytest.approx(5.1)
    assert wait(Looks(running, running, starting, running)) == pytest.approx(5.3)


def test_scaling_to_nothing_converges(wait: Wait, capsys: pytest.CaptureFixture[str]) -> None:
    wait(Looks(look("1 running", replicas=0), look(replicas=0)))
    assert "overall progress: 0 out of 0 tasks" in capsys.readouterr().out


def test_a_global_service_covers_the_nodes_that_are_ready(
    wait: Wait, capsys: pytest.CaptureFixture[str]
) -> None:
    found = look("0 running")
    found["service"]["Spec"]["Mode"] = {"Global": {}}
    found["tasks"][0]["NodeID"] = "n1"
    wait(Looks(found))
    assert "overall progress: 1 out of 1 tasks" in capsys.readouterr().out


def test_quiet_says_nothing(wait: Wait, capsys: pytest.CaptureFixture[str]) -> None:
    wait(Looks(look("1 running", update="completed")), quiet=True)
    assert capsys.readouterr().out == ""


def test_errors_are_shown_once(wait: Wait, capsys: pytest.CaptureFixture[str]) -> None:
    pending = look("1 pending no suitable node")
    wait(Looks(pending, pending, look("1 running", update="completed")))
    assert capsys.readouterr().out == (
        "overall progress: 0 out of 1 tasks\n1/1: pending (no suitable node)\n"
        "overall progress: 1 out of 1 tasks\nverify: Service web converged\n"
    )


def test_a_paused_update_is_an_error_with_its_reason(wait: Wait) -> None:
    with pytest.raises(click.ClickException, match=r"^service update paused: m: no image"):
        wait(Looks(look("1 rejected no image", update="paused")))


def test_a_rollback_is_an_error_with_the_reason_of_what_was_given_up(wait: Wait) -> None:
    given_up = look("1 rejected no image")["tasks"]
    with pytest.raises(click.ClickException, match=r"^service rolled back: m: no image$"):
        wait(Looks(look("1 running", update="rollback_completed"), others=given_up))


def test_a_rollback_that_was_asked_for_is_none(wait: Wait) -> None:
    wait(Looks(look("1 running", update="rollback_completed")), rollback_asked=True)


def test_a_failed_slot_without_a_new_task_is_given_up_after_a_while(wait: Wait) -> None:
    client = Looks(look("1 failed exit 1"))
    with pytest.raises(click.ClickException, match=r"^exit 1 \(1 attempt\)$"):
        wait(client)
    healed = Looks(*[look("1 failed exit 1")] * int(STUCK_SECONDS / 0.1 - 1), look("1 running"))
    wait(healed)  # its replacement was being made


def test_three_failures_are_given_up_at_once(wait: Wait) -> None:
    failed = ["1 failed exit 1"] * 3
    with pytest.raises(click.ClickException, match=r"^exit 1 \(3 attempts\)$"):
        wait(Looks(look(*failed, "1 ready")))


def test_a_restart_of_swarmd_is_waited_for(wait: Wait) -> None:
    away = [CannotConnectError] * 50
    wait(Looks(look("1 running"), *away, look("1 running", update="completed")))


def test_a_swarmd_that_stays_away_is_an_error(
    wait: Wait, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CannotConnectError):
        wait(Looks(look("1 starting"), CannotConnectError))
    assert "Operation continuing in background." in capsys.readouterr().err
    assert RECONNECT_SECONDS < 60


def test_an_interrupt_says_that_the_operation_goes_on(
    wait: Wait, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        wait(Looks(look("1 running", update="updating"), KeyboardInterrupt))
    assert capsys.readouterr().err == (
        "Operation continuing in background.\nUse `swarmctl service ps web` to check progress.\n"
    )
