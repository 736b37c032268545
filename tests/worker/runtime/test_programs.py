import errno
from pathlib import Path

import pytest

from worker.runtime.programs import (
    DEFAULT_PATH,
    environment,
    exec_refusal,
    failure_code,
    find_program,
)
from worker.runtime.refusal import Refusal, decode_refusal


def test_path_and_home_are_there_when_nobody_set_them() -> None:
    assert environment(["A=1", "B=x=y", "A=2", "=odd"], "/home/me") == {
        "A": "2",
        "B": "x=y",
        "PATH": DEFAULT_PATH,
        "HOME": "/home/me",
    }
    assert environment(["PATH=/p", "HOME="], "/h") == {"PATH": "/p", "HOME": ""}


def test_the_first_in_path_is_taken(tmp_path: Path) -> None:
    for name, mode in (("a", 0o644), ("b", 0o755), ("c", 0o755)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run").write_text("")
        (tmp_path / name / "run").chmod(mode)
    path = ":".join(str(tmp_path / name) for name in ("none", "a", "b", "c"))
    assert find_program("run", path) == str(tmp_path / "b" / "run")
    with pytest.raises(Refusal, match='exec: "run": permission denied'):
        find_program("run", str(tmp_path / "a"))


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('exec: "x": executable file not found in $PATH', 127),
        ('exec: "/x": stat /x: no such file or directory', 127),
        ('exec: "/x": permission denied', 126),
        ("exec /x: exec format error", 126),
    ],
)
def test_codes_are_a_shells(message: str, code: int) -> None:
    assert failure_code(message) == code


def test_a_refusal_survives_a_pipe() -> None:
    refusal = exec_refusal("/x", OSError(errno.ENOEXEC, "irrelevant"))
    back = decode_refusal(refusal.encode())
    assert (back.kind, back.message) == ("invalid", "exec /x: exec format error")
    assert decode_refusal(b"\xff").kind == "system"
