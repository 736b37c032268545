import errno
import logging
import random
from collections.abc import Callable

import pytest

from common.errors import SystemFailureError
from manager.raft.journal import Journal
from manager.raft.log import LogEntry
from manager.raft.records import NOWHERE, HardState, JournalDamagedError, Position
from manager.raft.seal import Seal
from manager.raft.segments import ALLOCATE_BYTES, segment_name
from tests.support.power_loss import Disk

SEAL = Seal(b"k" * 32)


@pytest.fixture
def disk() -> Disk:
    return Disk(random.Random(1), "/raft")


def opened(disk: Disk, snapshot: Position = NOWHERE) -> Journal:
    return Journal.open(disk.directory(), SEAL, snapshot)


def filled(journal: Journal, first: int, last: int, term: int = 1) -> Journal:
    for index in range(first, last + 1):
        journal.add(b"%d" % index, index, term)
    return journal


def kept(first: int, last: int, term: int = 1) -> list[LogEntry]:
    return [(b"%d" % index, index, term) for index in range(first, last + 1)]


def test_a_new_journal_is_empty(disk: Disk) -> None:
    journal = opened(disk)
    assert (journal.entries, journal.first_index, journal.last_index) == ([], 1, 0)
    assert (journal.before, journal.last_term, journal.term_of(0)) == (Position(0, 0), 0, 0)
    assert (journal.durable, journal.hard_state, journal.bytes) == (0, HardState(), 0)
    assert journal.has_unwritten is False


def test_remembers_entries_and_the_hard_state(disk: Disk) -> None:
    journal = opened(disk)
    journal.add(b"a", 1, 1)
    journal.set_term(2, "me")
    journal.add(b"b", 2, 2)
    journal.set_commit(1)
    journal.note_commit()
    journal.flush()
    again = opened(disk)
    assert again.entries == [(b"a", 1, 1), (b"b", 2, 2)]
    assert (again.hard_state, again.durable, again.bytes) == (HardState(2, 1, "me"), 2, 2)


def test_gives_entries_by_index(disk: Disk) -> None:
    journal = filled(opened(disk), 1, 5)
    journal.compact(2)
    assert journal.entry(3) == (b"3", 3, 1)
    assert (journal.term_of(2), journal.first_index, journal.bytes) == (1, 3, 3)
    assert journal.between(3, 4, 100) == kept(3, 4)
    assert journal.between(3, 5, 2) == kept(3, 4)
    assert journal.between(4, 9, 0) == kept(4, 4)
    assert journal.between(6, 9, 9) == []
    for asks in (journal.entry, journal.term_of, lambda index: journal.between(index, 5, 9)):
        with pytest.raises(IndexError, match="entry 1 is not in the log: it begins with 3"):
            asks(1)
    with pytest.raises(IndexError):
        journal.entry(6)


def test_only_what_is_synced_is_durable(disk: Disk) -> None:
    journal = opened(disk)
    journal.add(b"a", 1, 1)
    written = journal.write()
    journal.add(b"b", 2, 1)
    assert journal.durable == 0
    assert written is not None
    journal.wrote(written)
    assert (journal.durable, journal.has_unwritten) == (1, True)
    journal.flush()
    assert (journal.durable, journal.has_unwritten, journal.write()) == (2, False, None)


def test_a_write_is_one_write_and_one_sync(disk: Disk) -> None:
    operations: list[str] = []
    journal = filled(opened(disk), 1, 100)
    disk.refuse = lambda operation, _: operations.append(operation)
    journal.write()
    filled(journal, 101, 200).write()
    assert operations == ["allocate", "write", "sync", "write", "sync"]


def test_an_entry_must_follow_the_last(disk: Disk) -> None:
    journal = filled(opened(disk), 1, 5)
    with pytest.raises(ValueError, match="entry 7 after entry 5"):
        journal.add(b"b", 7, 1)


def test_entries_that_take_the_place_of_others(disk: Disk) -> None:
    journal = filled(opened(disk), 1, 3)
    journal.flush()
    journal.cut_from(2)
    assert (journal.last_index, journal.durable, journal.bytes) == (1, 1, 1)
    journal.add(b"new", 2, 2)
    journal.flush()
    assert (journal.durable, journal.term_of(2)) == (2, 2)
    assert opened(disk).entries == [*kept(1, 1), (b"new", 2, 2)]


def test_a_write_that_ends_after_a_cut_does_not_make_the_new_entries_durable(disk: Disk) -> None:
    journal = filled(opened(disk), 1, 3)
    written = journal.write()
    journal.cut_from(2)
    journal.add(b"new", 2, 2)
    assert written is not None
    journal.wrote(written)
    assert journal.durable == 0
    journal.flush()
    assert journal.durable == 2


def test_what_was_compacted_cannot_be_cut(disk: Disk) -> None:
    journal = filled(opened(disk), 1, 3)
    journal.compact(2)
    with pytest.raises(ValueError, match="cannot be cut at 2: it begins with 3"):
        journal.cut_from(2)


# ------------------------------------------------------------------------------------- segments


def of_small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manager.raft.segments.SEGMENT_BYTES_MAX", 400)


def names(*numbers: int) -> list[str]:
    return [segment_name(number) for number in numbers]


def test_a_full_segment_is_followed_by_another(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    of_small_segments(monkeypatch)
    journal = opened(disk)
    journal.set_term(3, "other")
    for index in range(1, 10):
        journal.add(bytes(100), index, 3)
        journal.flush()
    assert disk.names() == names(1, 2, 3, 4, 5)
    again = opened(disk)
    assert (again.last_index, again.hard_state) == (9, HardState(3, 0, "other"))


def test_compacting_removes_whole_segments_and_forgets_no_vote(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_small_segments(monkeypatch)
    journal = opened(disk)
    journal.set_term(3, "other")
    for index in range(1, 10):
        journal.add(bytes(100), index, 3)
        journal.flush()
    journal.compact(5)
    assert (journal.has_unwritten, journal.write(), journal.has_unwritten) == (True, None, False)
    assert disk.names() == names(3, 4, 5)
    again = opened(disk, Position(5, 3))
    assert again.hard_state == HardState(3, 5, "other")
    assert again.before == Position(4, 3)  # a whole segment was kept for entry 6
    assert (again.first_index, again.last_index) == (5, 9)


def test_starting_again_and_again_leaves_no_more_files(disk: Disk) -> None:
    journal = opened(disk)
    journal.set_term(1, "me")
    filled(journal, 1, 3).flush()
    for _ in range(5):
        assert opened(disk).last_index == 3
    assert disk.names() == names(1, 2)


def test_every_start_writes_to_a_segment_of_its_own(disk: Disk) -> None:
    for number in range(1, 4):
        filled(opened(disk), number, number).flush()
    assert disk.names() == names(1, 2, 3)
    assert opened(disk).entries == kept(1, 3)


def test_an_installed_snapshot_takes_the_place_of_the_log(disk: Disk) -> None:
    journal = filled(opened(disk), 1, 5)
    journal.set_term(2, "me")
    journal.flush()
    journal.restart_after(20, 2)
    assert (journal.before, journal.durable, journal.entries) == (Position(20, 2), 20, [])
    assert journal.hard_state == HardState(2, 20, "me")
    filled(journal, 21, 22, 2).flush()
    assert disk.names() == names(2)
    again = opened(disk, Position(20, 2))
    assert (again.entries, again.hard_state) == (kept(21, 22, 2), HardState(2, 20, "me"))


def test_a_write_under_way_while_a_snapshot_is_installed_makes_nothing_behind_it_durable(
    disk: Disk,
) -> None:
    journal = filled(opened(disk), 1, 50)
    written = journal.write()
    journal.restart_after(20, 2)
    assert written is not None
    journal.wrote(written)
    assert journal.durable == 20


def test_a_crash_before_the_log_was_restarted_behind_a_snapshot(disk: Disk) -> None:
    journal = filled(opened(disk), 1, 5)
    journal.set_term(2, "me")
    journal.flush()
    again = opened(disk, Position(20, 2))
    assert (again.before, again.entries, again.durable) == (Position(20, 2), [], 20)
    assert again.hard_state == HardState(2, 20, "me")
    assert len(disk.names()) == 1
    filled(again, 21, 21, 2).flush()
    assert opened(disk, Position(20, 2)).entries == kept(21, 21, 2)


def test_leftovers_are_removed(disk: Disk) -> None:
    opened(disk)
    disk.put("log-0000000000000009.new", b"half")
    disk.put("other.new", b"not ours")
    opened(disk)
    assert disk.names() == [*names(1), "other.new"]


def test_segments_that_were_to_be_removed_may_still_be_there_in_part(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_small_segments(monkeypatch)
    journal = opened(disk)
    for index in range(1, 10):
        journal.add(bytes(100), index, 3)
        journal.flush()
    disk.take_away(segment_name(2))
    assert opened(disk, Position(5, 3)).last_index == 9
    assert segment_name(1) not in disk.names()


# --------------------------------------------------------------------------------------- damage


def test_an_interrupted_write_is_cut_off_with_a_warning(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    filled(opened(disk), 1, 1).close()
    whole = disk.content(segment_name(1))
    disk.put(segment_name(1), whole + b"half a batch")
    with caplog.at_level(logging.WARNING):
        assert opened(disk).last_index == 1
    assert disk.content(segment_name(1)) == whole
    assert "interrupted write" in caplog.text
    filled(opened(disk), 2, 2).flush()  # and the log goes on behind it
    assert opened(disk).entries == kept(1, 2)


def with_three_segments(disk: Disk) -> None:
    for number in range(1, 4):
        journal = filled(opened(disk), 2 * number - 1, 2 * number - 1)
        journal.flush()
        filled(journal, 2 * number, 2 * number).close()


def flipped(disk: Disk, name: str, place: int) -> None:
    damaged = bytearray(disk.content(name))
    damaged[place] ^= 1
    disk.put(name, bytes(damaged))


DAMAGE: dict[str, tuple[Callable[[Disk], object], str]] = {
    "a bit in the last segment, with records behind it": (
        lambda disk: flipped(disk, segment_name(3), 150),
        r"/raft/log-0{15}3 is damaged at byte \d+: .* good records follow from byte \d+",
    ),
    "a bit in the last record of all": (
        lambda disk: flipped(disk, segment_name(3), -1),
        r"/raft/log-0{15}3 is damaged at byte \d+: what stands there does not fit its checksum",
    ),
    "a bit at the end of an earlier segment": (
        lambda disk: flipped(disk, segment_name(2), -1),
        r"/raft/log-0{15}2 is damaged at byte \d+: .* another file follows",
    ),
    "an earlier segment that ends too soon": (
        lambda disk: disk.put(segment_name(2), disk.content(segment_name(2))[:-70]),
        r"/raft/log-0{15}2 is damaged at byte \d+: .* another file follows",
    ),
    "an earlier segment that lacks its last record": (
        lambda disk: disk.put(segment_name(1), disk.content(segment_name(1))[:160]),
        r"/raft/log-0{15}1 is damaged at byte \d+: .* another file follows",
    ),
    "a bit in a header": (
        lambda disk: flipped(disk, segment_name(2), 20),
        r"/raft/log-0{15}2 is damaged at byte 0: its header does not fit its checksum",
    ),
    "a missing segment in the middle": (
        lambda disk: disk.take_away(segment_name(2)),
        "the log begins behind entry 4, but there is no snapshot of what was before",
    ),
    "a missing first segment": (
        lambda disk: disk.take_away(segment_name(1)),
        "the log begins behind entry 2, but there is no snapshot of what was before",
    ),
    "a segment under another's name": (
        lambda disk: disk.put(segment_name(4), disk.content(segment_name(3))),
        "/raft/log-0{15}4 is segment 3 under another name",
    ),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_refused_and_nothing_is_changed(
    disk: Disk, damage: Callable[[Disk], object], message: str
) -> None:
    with_three_segments(disk)
    damage(disk)
    before = {name: disk.content(name) for name in disk.names()}
    with pytest.raises(JournalDamagedError, match=message):
        opened(disk)
    assert {name: disk.content(name) for name in disk.names()} == before


def test_another_key_is_told(disk: Disk) -> None:
    opened(disk)
    with pytest.raises(JournalDamagedError, match="sealed with another key than this manager's"):
        Journal.open(disk.directory(), Seal(b"K" * 32))


def test_a_snapshot_without_a_log_is_refused(disk: Disk) -> None:
    with pytest.raises(JournalDamagedError, match="/raft has a snapshot, but no log"):
        opened(disk, Position(5, 1))


# ------------------------------------------------------------------------- a machine that refuses


def test_after_a_full_disk_nothing_more_is_written_or_durable(disk: Disk) -> None:
    journal = filled(opened(disk), 1, 1)
    journal.flush()
    journal.add(b"b" * 2 * ALLOCATE_BYTES, 2, 1)
    disk.bytes_free = 10
    with pytest.raises(OSError, match="No space left"):
        journal.flush()
    disk.bytes_free = None
    with pytest.raises(OSError, match="an earlier write failed"):
        journal.flush()
    journal.close()
    assert journal.durable == 1
    assert opened(disk).entries == kept(1, 1)


def test_space_ahead_is_a_wish_only(disk: Disk) -> None:
    journal = opened(disk)
    disk.bytes_free = 1000
    filled(journal, 1, 2).flush()
    journal.close()
    assert opened(disk).entries == kept(1, 2)


def test_space_that_was_not_needed_is_given_back(disk: Disk) -> None:
    journal = filled(opened(disk), 1, 1)
    journal.flush()
    assert len(disk.content(segment_name(1))) > ALLOCATE_BYTES
    opened(disk)  # after a kill, too
    assert len(disk.content(segment_name(1))) < 1000


def test_after_a_failed_sync_nothing_more_is_written_or_durable(disk: Disk) -> None:
    journal = filled(opened(disk), 1, 1)
    disk.refuse = lambda operation, _: errno.EIO if operation == "sync" else None
    with pytest.raises(OSError, match="Input/output"):
        journal.write()
    disk.refuse = lambda _operation, _name: None
    with pytest.raises(OSError, match="an earlier write failed"):
        journal.write()
    assert journal.durable == 0


OPERATIONS = ("write", "sync", "create", "rename", "sync_names", "remove", "read", "open", "list")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_whatever_the_machine_refuses_while_opening_is_told(disk: Disk, operation: str) -> None:
    with_three_segments(disk)
    disk.put("log-0000000000000009.new", b"half")
    disk.refuse = lambda what, _: errno.ENOSPC if what == operation else None
    with pytest.raises(SystemFailureError, match=r"cannot open the log in /raft: .*No space left"):
        opened(disk)
    disk.refuse = lambda _operation, _name: None
    assert opened(disk).entries == kept(1, 6)


@pytest.mark.parametrize("operation", ["write", "sync", "create", "rename", "sync_names", "remove"])
def test_whatever_the_machine_refuses_at_a_new_segment_reaches_the_member(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    journal = filled(opened(disk), 1, 3)
    journal.flush()
    of_small_segments(monkeypatch)
    journal.add(bytes(400), 4, 1)
    journal.flush()
    journal.compact(4)
    journal.add(b"5", 5, 1)
    disk.refuse = lambda what, _: errno.EIO if what == operation else None
    with pytest.raises(OSError, match="Input/output"):
        journal.flush()
    assert journal.durable == 4 if operation != "remove" else journal.durable in {4, 5}
    with pytest.raises(OSError, match="an earlier write failed"):
        journal.flush()
    disk.refuse = lambda _operation, _name: None
    assert opened(disk, Position(4, 1)).entry(4)[1:] == (4, 1)


def test_closing_writes_what_is_left(disk: Disk) -> None:
    journal = filled(opened(disk), 1, 1)
    journal.close()
    assert opened(disk).last_index == 1
    with pytest.raises(ValueError, match="the segments are closed"):
        filled(journal, 2, 2).flush()


def test_a_batch_is_bounded(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manager.raft.journal.BATCH_BYTES_MAX", 50)
    journal = opened(disk)
    for index in range(1, 6):
        journal.add(b"x" * 30, index, 1)
    written = journal.write()
    assert written is not None
    assert written.through == 1
    journal.flush()
    assert journal.durable == 5
