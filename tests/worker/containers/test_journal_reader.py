"""Reading entries back from the journal, by a program in the place of journalctl."""

import json
from pathlib import Path

import pytest

from common.errors import SystemFailureError
from worker.containers.journal_reader import journal_command, read_journal, record_of
from worker.containers.log_lines import LogQuery, LogRecord

ENTRY = {
    "MESSAGE": "hello", "PRIORITY": "6", "__REALTIME_TIMESTAMP": "1700000000500000",
    "SYSLOG_TIMESTAMP": "1700000000250000000", "CONTAINER_ID_FULL": "abc",
}  # fmt: skip
OUT = LogRecord(stream="stdout", at=1700000000.25, data=b"hello\n")
BASE = ["journalctl", "--quiet", "--output=json", "--all", "--no-pager"]
COMMANDS = {
    "everything": (LogQuery(), []),
    "the tail": (LogQuery(tail=5), ["--lines=5"]),
    "on and on, from the beginning": (LogQuery(follow=True), ["--lines=all", "--follow"]),
    "a while": (LogQuery(since=5.5, until=7.0), ["--since=@5.500000", "--until=@7.000000"]),
    "errors alone": (LogQuery(stdout=False, tail=2), ["--lines=2", "PRIORITY=3"]),
    "the rest alone": (LogQuery(stderr=False), ["PRIORITY=6"]),
}


@pytest.mark.parametrize(("query", "expected"), COMMANDS.values(), ids=COMMANDS)
def test_asks_for(query: LogQuery, expected: list[str]) -> None:
    assert journal_command("abc", query) == [*BASE, *expected, "CONTAINER_ID_FULL=abc"]


RECORDS: dict[str, tuple[dict[str, object], LogRecord | None]] = {
    "a line": ({}, OUT),
    "an error": ({"PRIORITY": "3"}, LogRecord(stream="stderr", at=OUT.at, data=b"hello\n")),
    "a part": (
        {"CONTAINER_PARTIAL_MESSAGE": "true"},
        LogRecord(stream="stdout", at=OUT.at, data=b"hello"),
    ),
    "bytes": ({"MESSAGE": [255, 0]}, LogRecord(stream="stdout", at=OUT.at, data=b"\xff\0\n")),
    "no message": ({"MESSAGE": None, "SYSLOG_TIMESTAMP": "soon"}, None),
}


@pytest.mark.parametrize(("more", "expected"), RECORDS.values(), ids=RECORDS)
def test_reads(more: dict[str, object], expected: LogRecord | None) -> None:
    assert record_of(json.dumps({**ENTRY, **more}).encode()) == expected


def test_takes_the_journals_time_where_there_is_no_other() -> None:
    entry = {key: value for key, value in ENTRY.items() if key != "SYSLOG_TIMESTAMP"}
    found = record_of(json.dumps(entry).encode())
    assert found is not None
    assert found.at == 1700000000.5


def has_ended(pid: str) -> bool:
    return not Path(f"/proc/{pid.strip()}").exists()


def program(directory: Path, script: str) -> str:
    path = directory / "journalctl"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


async def test_reads_to_the_end_and_passes_over_what_is_no_entry(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("-- No entries --\n" + 2 * (json.dumps(ENTRY) + "\n"))
    found = read_journal(
        "abc", LogQuery(), has_ended=lambda: True, program=program(tmp_path, f"cat {tmp_path}/out")
    )
    assert [one async for one in found] == [OUT, OUT]


async def test_who_follows_is_done_when_the_container_is(tmp_path: Path) -> None:
    (tmp_path / "out").write_text(json.dumps(ENTRY) + "\n")
    script = f"echo $$ > {tmp_path}/pid; cat {tmp_path}/out; exec sleep 1000"
    found = read_journal(
        "abc", LogQuery(follow=True), has_ended=lambda: True, program=program(tmp_path, script)
    )
    assert [one async for one in found] == [OUT]
    assert has_ended((tmp_path / "pid").read_text())


async def test_without_the_program_it_says_so() -> None:
    with pytest.raises(SystemFailureError, match="cannot read the journal"):
        async for _ in read_journal("a", LogQuery(), has_ended=lambda: True, program="/nowhere/x"):
            pass
