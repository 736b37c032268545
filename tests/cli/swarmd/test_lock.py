import os
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from cli.swarmd.lock import PidFile
from common.errors import ConflictError, SystemFailureError


def test_it_holds_our_pid_while_held_and_is_gone_afterwards(tmp_path: Path) -> None:
    file = PidFile(tmp_path / "run" / "pid")
    file.take()
    assert (tmp_path / "run" / "pid").read_text() == f"{os.getpid()}\n"
    file.release()
    assert not (tmp_path / "run" / "pid").exists()
    file.release()  # again is fine


def test_a_second_one_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    first, second = PidFile(tmp_path / "pid"), PidFile(tmp_path / "pid")
    first.take()
    with pytest.raises(ConflictError, match=rf"pid {os.getpid()}"):
        second.take()
    second.release()
    assert (tmp_path / "pid").exists(), "who was refused must not take away the holder's file"
    first.release()
    second.take()
    second.release()


def test_a_file_left_by_a_crash_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "pid").write_text("4194304999\n")
    file = PidFile(tmp_path / "pid")
    file.take()
    assert (tmp_path / "pid").read_text() == f"{os.getpid()}\n"
    file.release()


def test_a_lock_on_a_file_that_was_removed_meanwhile_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pid"
    other = PidFile(path)
    other.take()
    real: Callable[..., IO[str]] = Path.open

    def open_then_the_other_ends(self: Path, *more: str) -> IO[str]:
        file = real(self, *more)
        other.release()
        return file

    monkeypatch.setattr(Path, "open", open_then_the_other_ends)
    ours, third = PidFile(path), PidFile(path)
    ours.take()
    assert path.exists()
    with pytest.raises(ConflictError):
        third.take()
    ours.release()


def test_a_directory_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemFailureError, match="cannot write"):
        PidFile(tmp_path / "file" / "run" / "pid").take()
