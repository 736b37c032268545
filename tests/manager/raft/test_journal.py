import logging
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manager.raft.journal import Journal, LogEntry
from manager.raft.records import (
    EntryItem,
    HardState,
    JournalDamagedError,
    pack_batch,
    pack_entry,
    pack_hard_state,
    pack_header,
    seed_of,
)
from tests.support.fake_disk import FakeFile

HEADER = pack_header(b"saltsalt")


def reopened(file: FakeFile) -> Journal:
    return Journal(FakeFile(file.read()))


def test_a_new_journal_is_empty() -> None:
    journal = Journal(FakeFile(HEADER))
    assert (journal.entries, journal.last_index, journal.durable) == ([], 0, 0)
    assert journal.hard_state == HardState()


def test_remembers_entries_and_the_hard_state() -> None:
    file = FakeFile(HEADER)
    journal = Journal(file)
    journal.add(b"a", 1, 1)
    journal.set_term(2, "me")
    journal.add(b"b", 2, 2)
    journal.set_commit(1)
    journal.note_commit()
    journal.flush()
    assert reopened(file).entries == [(b"a", 1, 1), (b"b", 2, 2)]
    assert reopened(file).hard_state == HardState(2, 1, "me")


def test_only_what_is_synced_is_durable() -> None:
    journal = Journal(FakeFile(HEADER))
    journal.add(b"a", 1, 1)
    written = journal.write()
    journal.add(b"b", 2, 1)
    assert journal.durable == 0
    assert written is not None
    journal.wrote(written)
    assert (journal.durable, journal.has_unwritten) == (1, True)
    journal.flush()
    assert (journal.durable, journal.has_unwritten, journal.write()) == (2, False, None)


def test_an_entry_must_follow_the_last() -> None:
    journal = Journal(FakeFile(HEADER))
    journal.add(b"a", 5, 1)
    with pytest.raises(ValueError, match="entry 7 after entry 5"):
        journal.add(b"b", 7, 1)


def test_entries_that_take_the_place_of_others() -> None:
    file = FakeFile(HEADER)
    journal = Journal(file)
    for index in (1, 2, 3):
        journal.add(b"old", index, 1)
    journal.flush()
    journal.cut_from(2)
    assert (journal.last_index, journal.durable) == (1, 1)
    journal.add(b"new", 2, 2)
    journal.flush()
    assert (journal.durable, journal.term_of(2)) == (2, 2)
    assert reopened(file).entries == [(b"old", 1, 1), (b"new", 2, 2)]


def test_a_write_that_ends_after_a_cut_does_not_make_the_new_entries_durable() -> None:
    journal = Journal(FakeFile(HEADER))
    for index in (1, 2, 3):
        journal.add(b"old", index, 1)
    written = journal.write()
    journal.cut_from(2)
    journal.add(b"new", 2, 2)
    assert written is not None
    journal.wrote(written)
    assert journal.durable == 0
    journal.flush()
    assert journal.durable == 2


def test_an_interrupted_write_is_cut_off_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    file = FakeFile(HEADER)
    journal = Journal(file)
    journal.add(b"a", 1, 1)
    journal.flush()
    whole = file.read()
    torn = FakeFile(whole + b"half a batch")
    with caplog.at_level(logging.WARNING):
        assert Journal(torn).last_index == 1
    assert torn.read() == whole
    assert "interrupted write" in caplog.text


def damaged(*items: EntryItem | HardState) -> FakeFile:
    packed = [pack_entry(i) if isinstance(i, EntryItem) else pack_hard_state(i) for i in items]
    return FakeFile(HEADER + pack_batch(packed, seed_of(HEADER, "journal")))


CONTRADICTIONS = {
    "a gap": (damaged(EntryItem(1, 1, b""), EntryItem(3, 1, b"")), "entry 3 after entry 1"),
    "an entry before the first": (
        damaged(EntryItem(5, 1, b""), EntryItem(4, 1, b"")),
        "entry 4 after entry 5",
    ),
    "a commit of what is not there": (
        damaged(EntryItem(1, 1, b""), HardState(1, 2, "")),
        "ends at entry 1, but says that entry 2 was committed",
    ),
}


@pytest.mark.parametrize(("file", "message"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_refuses(file: FakeFile, message: str) -> None:
    with pytest.raises(JournalDamagedError, match=message):
        Journal(file)


def test_after_a_full_disk_nothing_more_is_written_or_durable() -> None:
    file = FakeFile(HEADER)
    journal = Journal(file)
    journal.add(b"a", 1, 1)
    journal.flush()
    journal.add(b"b" * 100, 2, 1)
    file.fails = 10
    with pytest.raises(OSError, match="No space left"):
        journal.flush()
    file.fails = None
    with pytest.raises(OSError, match="an earlier write failed"):
        journal.flush()
    journal.close()
    assert (journal.durable, file.closed) == (1, True)
    assert reopened(file).entries == [(b"a", 1, 1)]


def test_after_a_failed_sync_nothing_more_is_written_or_durable() -> None:
    file = FakeFile(HEADER)
    journal = Journal(file)
    journal.add(b"a", 1, 1)
    file.sync_fails = True
    with pytest.raises(OSError, match="Input/output"):
        journal.write()
    file.sync_fails = False
    with pytest.raises(OSError, match="an earlier write failed"):
        journal.write()
    assert journal.durable == 0


def test_closing_writes_what_is_left() -> None:
    file = FakeFile(HEADER)
    journal = Journal(file)
    journal.add(b"a", 1, 1)
    journal.close()
    assert (file.closed, file.unsynced) == (True, b"")
    assert reopened(file).last_index == 1


def test_a_batch_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manager.raft.journal.BATCH_BYTES_MAX", 50)
    journal = Journal(FakeFile(HEADER))
    for index in range(1, 6):
        journal.add(b"x" * 30, index, 1)
    written = journal.write()
    assert written is not None
    assert written.through == 1
    journal.flush()
    assert journal.durable == 5


# ------------------------------------------------------------------------------------- power loss


@dataclass
class Run:
    """A journal in use, and what it has promised."""

    file: FakeFile
    chance: random.Random
    journal: Journal = field(init=False)
    acknowledged: list[LogEntry] = field(default_factory=list)
    promised: HardState = field(default_factory=HardState)
    term: int = 1

    def __post_init__(self) -> None:
        self.journal = Journal(self.file)

    def add(self) -> None:
        size = self.chance.choice((0, 1, 30, 600, 3000))
        command = self.chance.randbytes(size)
        self.journal.add(command, self.journal.last_index + 1, self.term)

    def write(self) -> None:
        written = self.journal.write()
        if written is not None:
            self.journal.wrote(written)
        self.acknowledge()

    def begin_write(self) -> None:
        """A write whose sync does not end before what comes next."""
        syncs, self.file.syncs = self.file.syncs, False
        self.journal.write()
        self.file.syncs = syncs
        self.power_loss()

    def vote(self) -> None:
        self.term += 1
        self.journal.set_term(self.term, self.chance.choice(("", "me", "other")))
        self.journal.flush()
        self.promised = self.journal.hard_state
        self.acknowledge()

    def cut(self) -> None:
        if self.journal.last_index:
            index = self.chance.randint(1, self.journal.last_index)
            self.journal.cut_from(index)
            del self.acknowledged[max(index - 1, 0) :]

    def acknowledge(self) -> None:
        self.acknowledged = self.journal.entries[: self.journal.durable]

    def power_loss(self) -> None:
        self.file = self.file.after_power_loss(self.chance)
        self.journal = Journal(self.file)
        found = self.journal.entries[: len(self.acknowledged)]
        assert found == self.acknowledged, "an acknowledged entry is gone"
        assert self.journal.hard_state.term >= self.promised.term, "a promised term is gone"
        if self.journal.hard_state.term == self.promised.term:
            assert self.journal.hard_state.vote == self.promised.vote, "a vote is gone"
        self.acknowledge()
        self.term = max(self.term, self.journal.hard_state.term)


def run(seed: int, *, syncs: bool = True) -> None:
    chance = random.Random(seed)
    file = FakeFile(HEADER, syncs=syncs)
    it = Run(file, chance)
    steps = [it.add] * 6 + [it.write] * 3 + [it.begin_write, it.vote, it.cut, it.power_loss]
    for _ in range(60):
        chance.choice(steps)()
    it.power_loss()


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32))
def test_what_was_acknowledged_survives_any_power_loss(seed: int) -> None:
    run(seed)


def test_a_disk_that_does_not_sync_is_noticed() -> None:
    """The test above would find a journal that forgets its fdatasync."""
    lost = 0
    for seed in range(20):
        try:
            run(seed, syncs=False)
        except (AssertionError, JournalDamagedError):
            lost += 1
    assert lost == 20
