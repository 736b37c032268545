"""Whatever log and snapshots promised is found again after the power failed at any operation of the disk.

Each rule that makes it so has a mutant here, in which it is broken, and which must be found: see README.md.
"""

import contextlib
import errno
from collections.abc import Callable, Iterator
from typing import Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from common.errors import SystemFailureError
from manager.raft.disk import NEW_SUFFIX, Directory, File
from manager.raft.journal import Journal, Written
from manager.raft.records import Begins, Follows, HardState
from manager.raft.segments import Segments
from tests.support.storage_life import PromiseBrokenError, StorageLife, Ways

STEPS = 60
SEEDS_MAX = 300
"""Within so many lives each mutant must be found."""


@pytest.fixture(autouse=True, scope="module")
def _small_files() -> Iterator[None]:
    """So that every life sees many segments, batches and syncs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("manager.raft.segments.SEGMENT_BYTES_MAX", 2000)
        patch.setattr("manager.raft.segments.ALLOCATE_BYTES", 3000)
        patch.setattr("manager.raft.journal.BATCH_BYTES_MAX", 3000)
        patch.setattr("manager.raft.snapshots.SYNC_BYTES", 1000)
        yield


@pytest.mark.parametrize("seed", range(60))
def test_what_was_promised_survives_any_power_loss(seed: int) -> None:
    StorageLife(seed).run(STEPS)


@pytest.mark.parametrize("seed", range(60))
def test_a_start_interrupted_after_a_kill_loses_nothing(seed: int) -> None:
    StorageLife(seed).run_interrupted_twice()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**64))
def test_what_was_promised_survives_any_power_loss_anywhere(seed: int) -> None:
    StorageLife(seed).run(STEPS)


@pytest.mark.parametrize("seed", range(20))
def test_a_start_refused_by_the_machine_loses_nothing(seed: int) -> None:
    """At each operation of a start in turn, the machine refuses; the start after it finds everything."""
    life = StorageLife(seed)
    life.run(STEPS)
    for number in range(1, 40):
        stop = life.disk.operations + number
        life.disk.refuse = lambda _operation, _name, stop=stop: (  # type: ignore[misc]
            errno.ENOSPC if life.disk.operations >= stop else None
        )
        with contextlib.suppress(SystemFailureError):
            life._open()
        life.disk.refuse = lambda _operation, _name: None
        life.kill()


# --------------------------------------------------------------------------------------- mutants


class AcknowledgesEarly(Journal):
    """Counts as durable what is only on its way."""

    @override
    def write(self) -> Written | None:
        self.durable = self.last_index
        return super().write()


class ForgetsToSyncVotes(Journal):
    """Lets others learn of a vote that will be written some day."""

    @override
    def flush(self) -> None:
        pass


class ForgetsHardState(Segments):
    """Begins a segment without what must never be forgotten."""

    @override
    def _create(
        self, number: int, start: Begins | Follows, state: HardState, bytes_before: int
    ) -> None:
        super()._create(number, start, HardState(), bytes_before)
        self._state = state


class RemovesOneTooMany(Segments):
    """Removes a segment of which the end is still needed."""

    @override
    def remove_before(self, through: int) -> None:
        ahead = {number + 1: start for number, start in self._starts.items()}
        keep = max((n for n, start in ahead.items() if start.index <= through), default=0)
        for number in sorted(n for n in self._starts if n < min(keep, max(self._starts))):
            self._directory.remove(f"log-{number:016}")
            del self._starts[number]


class Wrapped:
    """A directory that passes on what it is asked, but for what a mutant changes."""

    def __init__(self, inner: Directory) -> None:
        self.inner, self.name = inner, inner.name

    def list(self) -> list[str]:
        return self.inner.list()

    def create(self, name: str) -> File:
        return self.inner.create(name)

    def open(self, name: str) -> File:
        return self.inner.open(name)

    def rename(self, old: str, new: str) -> None:
        self.inner.rename(old, new)

    def remove(self, name: str) -> None:
        self.inner.remove(name)

    def sync(self) -> None:
        self.inner.sync()

    def close(self) -> None:
        self.inner.close()


class RenamesEarly(Wrapped):
    """Gives files their name before they are synced."""

    @override
    def create(self, name: str) -> File:
        file = super().create(name)
        sync = file.sync

        def sync_later() -> None:
            if name in self.list():
                super(RenamesEarly, self).rename(name, final_name(name))
            sync()

        file.sync = sync_later  # type: ignore[method-assign]
        return file

    @override
    def rename(self, old: str, new: str) -> None:
        """Has been done."""


class TrustsTheNames(Wrapped):
    """Counts as durable the names that it found, which may stand in memory only."""

    def __init__(self, inner: Directory) -> None:
        super().__init__(inner)
        self._changed = False

    @override
    def rename(self, old: str, new: str) -> None:
        self._changed = True
        super().rename(old, new)

    @override
    def sync(self) -> None:
        if self._changed:
            super().sync()


class TrustsTheCache(Wrapped):
    """Counts as durable what it read, which may stand in memory only."""

    @override
    def open(self, name: str) -> File:
        file = super().open(name)
        file.sync = lambda: None  # type: ignore[method-assign]
        return file


def final_name(name: str) -> str:
    return name.removesuffix(NEW_SUFFIX).partition(".")[0]


class Mutant:
    """A life in which one rule is broken."""

    def __init__(self, ways: Ways = Ways()) -> None:  # noqa: B008 - frozen
        self.ways = ways
        self.segments: type[Segments] = Segments
        self.prepare: Callable[[StorageLife], None] = lambda _life: None
        self.run: Callable[[StorageLife], None] = lambda life: life.run(STEPS)

    def with_segments(self, segments: type[Segments]) -> Self:
        self.segments = segments
        return self

    def with_run(self, run: Callable[[StorageLife], None]) -> Self:
        self.run = run
        return self

    def with_disk(self, prepare: Callable[[StorageLife], None]) -> Self:
        self.prepare = prepare
        return self


def no_syncs(life: StorageLife) -> None:
    life.disk.syncs = False


def no_syncs_of_names(life: StorageLife) -> None:
    life.disk.syncs_names = False


MUTANTS = {
    "no fdatasync": Mutant().with_disk(no_syncs),
    "no directory fsync": Mutant().with_disk(no_syncs_of_names),
    "acknowledge before fsync": Mutant(Ways(journal=AcknowledgesEarly)),
    "vote not synced": Mutant(Ways(journal=ForgetsToSyncVotes)),
    "rename before fsync": Mutant(Ways(directory=RenamesEarly)),
    "what was read at the start not synced": Mutant(Ways(directory=TrustsTheCache)),
    "names found at the start not synced": Mutant(Ways(directory=TrustsTheNames)).with_run(
        StorageLife.run_interrupted_twice
    ),
    "segment removed before the snapshot is durable": Mutant(Ways(compacts_early=True)),
    "log restarted before the snapshot is durable": Mutant(Ways(installs_early=True)),
    "segment removed that is still needed": Mutant().with_segments(RemovesOneTooMany),
    "hard state not at the head of a segment": Mutant().with_segments(ForgetsHardState),
}


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_a_broken_rule_is_found(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manager.raft.journal.Segments", mutant.segments)
    for seed in range(SEEDS_MAX):
        try:
            life = StorageLife(seed, mutant.ways)
            mutant.prepare(life)
            mutant.run(life)
        except (PromiseBrokenError, SystemFailureError):
            return
    pytest.fail("the mutant was not found")
