from typing import Any

import click
import pytest
from typing_extensions import override

from cli.swarmctl import progress
from cli.swarmctl.client import Client


class Looks(Client):
    """A client that sees one service in one state after another."""

    def __init__(self, *states: str) -> None:
        super().__init__("unix:///nowhere", {})
        self._states = list(states)

    @override
    def get(self, path: str, **query: str) -> Any:
        if path.startswith("/services/"):
            state = self._states.pop(0) if len(self._states) > 1 else self._states[0]
            if state == "interrupt":
                raise KeyboardInterrupt
            return {
                "Spec": {"Mode": {"Replicated": {"Replicas": 1}}},
                "UpdateStatus": {"State": state, "Message": "m"},
            }
        running = {"State": "running"}
        return [{"Slot": 1, "CreatedAt": "2026", "DesiredState": "running", "Status": running}]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "sleep", lambda _seconds: None)


def test_waits_until_the_update_is_complete(capsys: pytest.CaptureFixture[str]) -> None:
    progress.wait_for_convergence(Looks("updating", "updating", "completed"), "web", quiet=False)
    assert (
        capsys.readouterr().out == "overall progress: 1 out of 1 tasks\nverify: Service converged\n"
    )


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    progress.wait_for_convergence(Looks("completed"), "web", quiet=True)
    assert capsys.readouterr().out == ""


def test_a_paused_update_is_an_error_with_its_reason() -> None:
    with pytest.raises(click.ClickException, match="service update paused: m"):
        progress.wait_for_convergence(Looks("updating", "paused"), "web", quiet=True)


def test_an_interrupt_says_that_the_operation_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        progress.wait_for_convergence(Looks("updating", "interrupt"), "web", quiet=False)
    assert "Operation continuing in background." in capsys.readouterr().err
