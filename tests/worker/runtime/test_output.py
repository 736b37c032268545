import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.runtime.output import (
    LINE_MAX,
    LogFile,
    cut_lines,
    format_time,
    json_lines,
    local_lines,
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


AT_NS = 1_700_000_000_123_456_789


def test_an_entry_is_dockers() -> None:
    (line,) = json_lines([b'say "\\hi\x1b"\xff\n'], "stdout", AT_NS, ())
    assert line.endswith(b"}\n")
    assert json.loads(line) == {
        "log": 'say "\\hi\x1b"\ufffd\n',
        "stream": "stdout",
        "time": "2023-11-14T22:13:20.123456789Z",
    }


def test_attributes_stand_where_docker_has_them() -> None:
    (line,) = json_lines([b"x\n"], "stderr", AT_NS, [("tag", 'web"1'), ("zone", "a")])
    assert line == (
        b'{"log":"x\\n","stream":"stderr","attrs":{"tag":"web\\"1","zone":"a"},'
        b'"time":"2023-11-14T22:13:20.123456789Z"}\n'
    )


def test_a_local_line_keeps_bytes_as_they_are_and_says_which_go_on() -> None:
    lines = local_lines([b"\xff\0whole\n", b"part"], "stderr", AT_NS, ())
    assert lines == [
        b"1700000000123456789 e \xff\0whole\n",
        b"1700000000123456789 E part\n",
    ]
    assert local_lines([b"\n"], "stdout", AT_NS, ()) == [b"1700000000123456789 o \n"]


def test_time_has_nine_digits() -> None:
    assert format_time(5) == "1970-01-01T00:00:00.000000005Z"


ROTATIONS = {
    "one file begins anew": (1, {"log": [6]}),
    "two files": (2, {"log": [6], "log.1": [4, 5]}),
    "three files": (3, {"log": [6], "log.1": [4, 5], "log.2": [2, 3]}),
}


@pytest.mark.parametrize(("files", "expected"), ROTATIONS.values(), ids=ROTATIONS)
def test_rotates(files: int, expected: dict[str, list[int]], tmp_path: Path) -> None:
    log = LogFile(str(tmp_path / "log"), 13, files, "local")
    log.write("stdout", [b"%d\n" % number for number in range(7)], 1)
    log.close()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        name: b"".join(b"1 o %d\n" % number for number in numbers)
        for name, numbers in expected.items()
    }


def test_goes_on_where_a_former_one_ended(tmp_path: Path) -> None:
    for _ in range(2):
        log = LogFile(str(tmp_path / "log"), 0, 1, "local")
        log.write("stdout", [b"line\n"], 1)
        log.close()
    assert (tmp_path / "log").read_bytes() == b"1 o line\n1 o line\n"


def test_a_link_in_place_of_the_log_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        LogFile(str(tmp_path / "log"), 0, 1)
