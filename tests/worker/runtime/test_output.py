import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.runtime.output import (
    LINE_MAX,
    LogFile,
    cut_lines,
    entry_ending,
    format_entry,
    format_time,
)

CASES = {
    "whole lines": (b"", b"a\nb\n", [b"a\n", b"b\n"], b""),
    "the rest waits": (b"", b"a\nb", [b"a\n"], b"b"),
    "what waited comes first": (b"a", b"b\n", [b"ab\n"], b""),
    "an empty line is a line": (b"", b"\n\n", [b"\n", b"\n"], b""),
    "carriage returns do not end lines": (b"", b"a\rb\r\n", [b"a\rb\r\n"], b""),
    "a long line is cut": (
        b"", b"x" * (LINE_MAX + 1) + b"\n", [b"x" * LINE_MAX, b"x\n"], b"",
    ),
    "a long line is cut before its end has come": (
        b"x" * LINE_MAX, b"y", [b"x" * LINE_MAX], b"y",
    ),
    "not inside a character": (
        b"", b"x" * (LINE_MAX - 1) + "ä\n".encode(), [b"x" * (LINE_MAX - 1), "ä\n".encode()], b"",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("pending", "piece", "entries", "rest"), CASES.values(), ids=CASES)
def test_cuts_lines(pending: bytes, piece: bytes, entries: list[bytes], rest: bytes) -> None:
    assert cut_lines(pending, piece) == (entries, rest)


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.binary(max_size=60), max_size=20), st.integers(1, 30))
def test_no_byte_is_lost_however_it_comes(pieces: list[bytes], repeat: int) -> None:
    taken, rest = b"", b""
    for piece in pieces * repeat:
        entries, rest = cut_lines(rest, piece)
        taken += b"".join(entries)
        assert all(len(entry) <= LINE_MAX for entry in entries)
        assert len(rest) <= LINE_MAX
        assert b"\n" not in rest
    assert taken + rest == b"".join(pieces * repeat)


def test_an_entry_is_dockers() -> None:
    ending = entry_ending("stdout", 1_700_000_000_123_456_789)
    line = format_entry(b'say "\\hi\x1b"\xff\n', ending)
    assert line.endswith(b"}\n")
    assert json.loads(line) == {
        "log": 'say "\\hi\x1b"�\n',
        "stream": "stdout",
        "time": "2023-11-14T22:13:20.123456789Z",
    }


def test_time_has_nine_digits() -> None:
    assert format_time(5) == "1970-01-01T00:00:00.000000005Z"


ROTATIONS = {
    "one file begins anew": (1, {"log": b"6\n"}),
    "two files": (2, {"log": b"6\n", "log.1": b"4\n5\n"}),
    "three files": (3, {"log": b"6\n", "log.1": b"4\n5\n", "log.2": b"2\n3\n"}),
}


@pytest.mark.parametrize(("files", "expected"), ROTATIONS.values(), ids=ROTATIONS)
def test_rotates(files: int, expected: dict[str, bytes], tmp_path: Path) -> None:
    log = LogFile(str(tmp_path / "log"), 5, files)
    log.write([b"%d\n" % number for number in range(7)])
    log.close()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == expected


def test_goes_on_where_a_former_one_ended(tmp_path: Path) -> None:
    for _ in range(2):
        log = LogFile(str(tmp_path / "log"), 0, 1)
        log.write([b"line\n"])
        log.close()
    assert (tmp_path / "log").read_bytes() == b"line\nline\n"


def test_a_link_in_place_of_the_log_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        LogFile(str(tmp_path / "log"), 0, 1)
