"""Entries into the journal, taken by a socket in its place."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.runtime.journal import WAITING_MAX, JournalLog, open_log
from worker.runtime.output import LogFile

FIELDS = [("CONTAINER_ID", "0123456789ab"), ("CONTAINER_NAME", "web")]


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "journal")


@pytest.fixture
def journal(path: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as listening:
        listening.bind(path)
        yield listening


def heard(journal: socket.socket) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(journal.recv(1 << 20))
        except BlockingIOError:
            return found


def test_an_entry_bears_the_containers_fields(path: str, journal: socket.socket) -> None:
    log = JournalLog(path, FIELDS)
    log.write("stdout", [b"hello\n"], 5)
    log.write("stderr", [b"part"], 6)
    log.close()
    fields = b"CONTAINER_ID=0123456789ab\nCONTAINER_NAME=web\n"
    assert heard(journal) == [
        b"MESSAGE=hello\nPRIORITY=6\nSYSLOG_TIMESTAMP=5\n" + fields,
        b"MESSAGE=part\nPRIORITY=3\nSYSLOG_TIMESTAMP=6\nCONTAINER_PARTIAL_MESSAGE=true\n" + fields,
    ]
    assert log.lost_entries == 0


def test_a_value_with_a_newline_bears_its_length_so_that_no_container_can_forge_a_field(
    path: str, journal: socket.socket
) -> None:
    log = JournalLog(path, [("CONTAINER_TAG", "a\nPRIORITY=0")])
    log.write("stdout", [b"x\n"], 5)
    log.close()
    (datagram,) = heard(journal)
    assert datagram.endswith(b"CONTAINER_TAG\n" + (12).to_bytes(8, "little") + b"a\nPRIORITY=0\n")


def test_while_the_journal_is_busy_entries_wait_and_what_is_too_much_is_counted(
    path: str, journal: socket.socket
) -> None:
    log = JournalLog(path, FIELDS)
    for number in range(3 * WAITING_MAX):
        log.write("stdout", [b"%d\n" % number], 5)
    taken = heard(journal)
    assert 0 < len(taken) < WAITING_MAX
    more = taken
    while more:
        log.write("stdout", [], 5)
        more = heard(journal)
        taken = [*taken, *more]
    numbers = [int(one.partition(b"\n")[0].removeprefix(b"MESSAGE=")) for one in taken]
    assert numbers == sorted(numbers)
    assert len(numbers) + log.lost_entries == 3 * WAITING_MAX
    assert numbers[-WAITING_MAX:] == list(range(2 * WAITING_MAX, 3 * WAITING_MAX))
    log.close()


def test_a_journal_that_was_restarted_is_found_again(path: str, journal: socket.socket) -> None:
    log = JournalLog(path, FIELDS)
    journal.close()
    Path(path).unlink()
    log.write("stdout", [b"meanwhile\n"], 5)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as another:
        another.bind(path)
        log.write("stdout", [b"later\n"], 6)
        log.close()
        words = [one.partition(b"\n")[0] for one in heard(another)]
    assert words == [b"MESSAGE=meanwhile", b"MESSAGE=later"]


def test_without_a_journal_the_log_cannot_be_opened(path: str) -> None:
    with pytest.raises(FileNotFoundError):
        open_log(path, 0, 1, "journald", FIELDS)


def test_other_drivers_write_files(tmp_path: Path) -> None:
    log = open_log(str(tmp_path / "log"), 10, 2, "local")
    assert isinstance(log, LogFile)
    assert open_log(*log.rule).rule == log.rule
    log.close()
