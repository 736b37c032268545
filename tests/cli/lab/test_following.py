from pathlib import Path

import pytest
from typing_extensions import override

from cli.lab import following
from cli.lab.following import follow, last_lines
from cli.lab.waiting import Stopwatch

LINES = {
    "all": (b"a\nb\n", None, b"a\nb\n"),
    "the last one": (b"a\nb\n", 1, b"b\n"),
    "none": (b"a\nb\n", 0, b""),
    "as many as there are": (b"a\nb\n", 2, b"a\nb\n"),
    "more than there are": (b"a\nb\n", 9, b"a\nb\n"),
    "one that has not ended": (b"a\nb", 1, b"b"),
    "two, one of them not ended": (b"a\nb\nc", 2, b"b\nc"),
    "empty ones": (b"a\n\n\n", 2, b"\n\n"),
    "of an empty file": (b"", 3, b""),
}


@pytest.mark.parametrize("piece", [1, 2, 3, 100])
@pytest.mark.parametrize(("text", "count", "expected"), LINES.values(), ids=LINES)
def test_shows_the_last_lines(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: bytes,
    count: int | None,
    expected: bytes,
    piece: int,
) -> None:
    monkeypatch.setattr(following, "PIECE_BYTES", piece)
    path = tmp_path / "log"
    path.write_bytes(text)
    assert b"".join(last_lines(path, count)) == expected


class Writer(Stopwatch):
    """While the reader waits, more is written; in the end the file is removed."""

    def __init__(self, path: Path, *pieces: bytes) -> None:
        self._path, self._pieces = path, list(pieces)

    @override
    def sleep(self, seconds: float) -> None:
        if not self._pieces:
            self._path.unlink()
            return
        with self._path.open("ab") as file:
            file.write(self._pieces.pop(0))


def test_goes_on_as_it_is_written_until_the_file_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"a\nb\n")
    assert list(follow(path, 1, Writer(path, b"c\n", b"d\n"))) == [b"b\n", b"c\n", b"d\n"]
