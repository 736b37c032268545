from pathlib import Path

from common.files import replace_durably


def test_replaces_whole_with_the_mode_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a" / "file"
    replace_durably(path, b"one")
    replace_durably(path, b"two", mode=0o600)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [found.name for found in path.parent.iterdir()] == ["file"]


def test_a_leftover_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "file.new").write_bytes(b"left over and longer")
    replace_durably(tmp_path / "file", b"x")
    assert (tmp_path / "file").read_bytes() == b"x"
