import errno
import os
from pathlib import Path

import pytest

from common.errors import SystemFailureError
from manager.raft.disk import open_directory, told


def test_a_new_directory_and_its_files_are_private(tmp_path: Path) -> None:
    path = tmp_path / "swarm" / "raft"
    directory = open_directory(path)
    directory.create("log").close()
    assert (path.stat().st_mode & 0o777, (path / "log").stat().st_mode & 0o777) == (0o700, 0o600)
    directory.close()


def test_files_are_written_read_cut_renamed_and_removed(tmp_path: Path) -> None:
    directory = open_directory(tmp_path)
    file = directory.create("a.new")
    assert file.name == str(tmp_path / "a.new")
    file.write(b"header and more", 0)
    file.write(b"HEAD", 0)
    file.sync()
    file.truncate(10)
    file.close()
    directory.rename("a.new", "a")
    directory.sync()
    again = directory.open("a")
    assert (directory.list(), again.size(), again.read(4, 100)) == (["a"], 10, b"er and")
    directory.remove("a")
    assert (directory.list(), again.read(0, 4)) == ([], b"HEAD")
    again.close()
    directory.close()


def test_creating_empties_what_was_left_over(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"left over")
    directory = open_directory(tmp_path)
    file = directory.create("a")
    assert file.size() == 0
    file.close()
    directory.close()


def test_space_allocated_ahead_reads_as_zeros(tmp_path: Path) -> None:
    directory = open_directory(tmp_path)
    file = directory.create("a")
    file.write(b"x", 0)
    file.allocate(4096)
    assert file.read(0, 5000) in {b"x" + bytes(4095), b"x"}  # where the file system cannot, nothing
    file.close()
    directory.close()


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    directory = open_directory(tmp_path)
    with pytest.raises(SystemFailureError, match="in use by another process"):
        open_directory(tmp_path)
    directory.close()
    open_directory(tmp_path).close()


def test_says_what_it_cannot_open(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemFailureError, match=f"cannot open {tmp_path}/file/raft: File exists"):
        open_directory(tmp_path / "file" / "raft")


def test_an_error_tells_the_file(tmp_path: Path) -> None:
    directory = open_directory(tmp_path)
    file = directory.create("a")
    file.close()
    with pytest.raises(OSError, match="Bad file descriptor") as refused:
        file.write(b"x", 0)
    assert refused.value.filename == str(tmp_path / "a")
    directory.close()


def test_a_refusal_becomes_a_sentence() -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/raft/log-1")
    with pytest.raises(SystemFailureError) as refused, told("open the log in /var"):
        raise full
    assert refused.value.message == (
        "cannot open the log in /var: /raft/log-1: No space left on device"
    )
