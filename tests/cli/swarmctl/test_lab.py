import os

import pytest

from tests.cli.swarmctl.conftest import Run

COMMANDS = ("up", "down", "ls", "exec", "load", "logs", "kill", "start", "stop", "restart")
MORE = ("pause", "resume", "cut", "heal")


@pytest.fixture
def as_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


@pytest.mark.parametrize("name", COMMANDS + MORE)
def test_everybody_may_read_the_help(run: Run, as_user: None, name: str) -> None:
    code, out, _ = run("lab", name, "--help")
    assert (code, "--name" in out) == (0, True)


@pytest.mark.parametrize("words", [("up",), ("ls",), ("kill", "m1"), ("exec", "m1", "--", "true")])
def test_needs_root_and_says_so(run: Run, as_user: None, words: tuple[str, ...]) -> None:
    code, _, error = run("lab", *words)
    assert (code, "needs root" in error) == (1, True)


WRONG = {
    "no command to run": ("exec", "m1"),
    "nothing after the dashes": ("exec", "m1", "--"),
    "no host": ("kill",),
    "no managers": ("up", "--managers", "0"),
    "a heartbeat that is none": ("up", "--dispatcher-heartbeat", "often"),
    "an archive that is not there": ("load", "/nowhere/x.tar"),
}


@pytest.mark.parametrize("words", WRONG.values(), ids=WRONG)
def test_a_wrong_command_line_is_2(
    run: Run, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert run("lab", *words)[0] == 2
