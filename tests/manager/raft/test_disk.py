from pathlib import Path

import pytest

from common.errors import SystemFailureError
from manager.raft.disk import open_or_create


def test_a_new_file_holds_its_header_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "swarm" / "raft" / "journal"
    file = open_or_create(path, b"header")
    file.append(b" and more")
    file.sync()
    file.close()
    again = open_or_create(path, b"other header")
    assert again.read() == b"header and more"
    again.truncate(6)
    assert again.read() == b"header"
    again.close()
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert [found.name for found in path.parent.iterdir()] == ["journal"]


def test_an_unfinished_creation_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "journal.new").write_bytes(b"left over")
    file = open_or_create(tmp_path / "journal", b"header")
    assert file.read() == b"header"
    file.close()


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    file = open_or_create(tmp_path / "journal", b"header")
    with pytest.raises(SystemFailureError, match="in use by another process"):
        open_or_create(tmp_path / "journal", b"header")
    file.close()


def test_says_what_it_cannot_open(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemFailureError, match="cannot open"):
        open_or_create(tmp_path / "file" / "journal", b"header")
