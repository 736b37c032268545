import re
from pathlib import Path

import pytest

from common.errors import InvalidInputError
from worker.containers.process_columns import Machine, columns_of
from worker.containers.process_entry import Entry, parse_entry
from worker.containers.process_table import look, table_of

NOW = 1_700_000_000.0
STAT = (
    "42 (a) b (c) R 1 42 42 34816 42 4194304 10 0 0 0 150 50 0 0 20 5 3 0 1000 8192000 100 "
    "18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0"
)
STATUS = "Name:\tx\nUid:\t1000\t4242424\t1\t1\nGid:\t5\t6\t7\t8\nVmLck:\t 4 kB\nVmRSS:\t 400 kB\n"


def entry() -> Entry:
    return parse_entry(STAT, STATUS, b"sh\0-c\0sleep\n1\0", booted_at=NOW - 110)


def row(arguments: str) -> dict[str, str]:
    table = table_of(columns_of(arguments), [entry()], Machine(now=NOW, memory_bytes=4096 * 1000))
    return dict(zip(table.titles, table.processes[0], strict=True))


def test_full_format() -> None:
    found = row("-ef")
    assert re.fullmatch(r"\d\d:\d\d", found.pop("STIME"))
    assert found == {
        "UID": "4242424",
        "PID": "42",
        "PPID": "1",
        "C": "2",
        "TTY": "pts/0",
        "TIME": "00:00:02",
        "CMD": "sh -c sleep?1",
    }


def test_user_format() -> None:
    found = row("aux")
    del found["START"]
    assert found == {
        "USER": "4242424",
        "PID": "42",
        "%CPU": "2.0",
        "%MEM": "10.0",
        "VSZ": "8000",
        "RSS": "400",
        "TTY": "pts/0",
        "STAT": "RNLsl+",
        "TIME": "0:02",
        "COMMAND": "sh -c sleep?1",
    }


def test_chosen_columns_with_titles_of_ones_own() -> None:
    assert row("-o pid,comm=NAME -o etime,gid") == {
        "PID": "42",
        "NAME": "a) b (c",
        "ELAPSED": "01:40",
        "GID": "6",
    }


SAME = {"": "-ef", "-e -f": "-ef", "ef": "-ef", "-aux": "aux", "a u x": "aux", "-eo pid": "-o pid"}


@pytest.mark.parametrize(("arguments", "like"), SAME.items())
def test_ways_to_ask_for_the_same(arguments: str, like: str) -> None:
    assert row(arguments) == row(like)


WRONG = {
    "-q 1": "not available",
    "-o comm": "Couldn't find PID field",
    "-o pid,secret": "'secret'",
    "--forest": "not available",
    "-o": "not available",
    "; reboot": "not available",
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.items())
def test_other_arguments_are_refused(arguments: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        columns_of(arguments)


def test_who_has_ended_meanwhile_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu 1 2\nbtime 1699999890\n")
    (tmp_path / "meminfo").write_text("MemTotal:  4000 kB\n")
    (tmp_path / "42").mkdir()
    for name, text in (("stat", STAT), ("status", STATUS), ("cmdline", "")):
        (tmp_path / "42" / name).write_text(text)
    table = look([42, 43], "-o pid,args", now=NOW, proc=tmp_path)
    assert table.processes == (("42", "[a) b (c]"),)
