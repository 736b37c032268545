"""The life of a member's log and snapshots on a disk that loses power: whatever they promised must be found again.

``StorageLife`` does what a member does, in an order that chance makes: it adds, writes, votes, cuts, takes snapshots
and installs those of others, and dies at any operation of the disk. After each death it starts anew and looks.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from manager.raft.disk import Directory
from manager.raft.journal import Journal
from manager.raft.log import LogEntry
from manager.raft.records import HardState
from manager.raft.seal import Seal
from manager.raft.snapshots import Snapshots
from tests.support.power_loss import Disk, PowerLostError

STARTS_MAX = 20
"""How often the power fails while starting before it is left alone."""


class PromiseBrokenError(AssertionError):
    """Something that was promised is not there any more."""


@dataclass(frozen=True)
class Ways:
    """How the member goes about it; the defaults are right, everything else is a mutant."""

    journal: type[Journal] = Journal
    directory: Callable[[Directory], Directory] = lambda directory: directory
    compacts_early: bool = False
    installs_early: bool = False


class StorageLife:
    def __init__(self, seed: int, ways: Ways = Ways()) -> None:
        self.chance = random.Random(seed)
        self.disk = Disk(self.chance)
        self.seal = Seal(bytes(32), self.chance.randbytes)
        self.ways = ways
        self.ever: set[LogEntry] = set()
        self.parts: dict[bytes, list[bytes]] = {}
        self.acknowledged: dict[int, LogEntry] = {}
        self.promised = HardState()
        self.snapshot = 0
        self.term = 1
        self.commit = 0
        self.void_after: int | None = None
        """While a snapshot is installed: entries behind that may be other ones than the leader's."""
        self._open()

    def run(self, steps: int) -> None:
        kinds: list[tuple[Callable[[], None], int]] = [
            (self.add, 8),
            (self.write, 6),
            (self.vote, 1),
            (self.cut, 1),
            (self.advance_commit, 3),
            (self.take_snapshot, 2),
            (self.install_snapshot, 1),
            (self.kill, 1),
        ]
        dangerous = (self.take_snapshot, self.install_snapshot)
        choices = [kind for kind, weight in kinds for _ in range(weight)]
        for _ in range(steps):
            step = self.chance.choice(choices)
            if self.chance.random() < (0.4 if step in dangerous else 0.1):
                self._die_within(12)
            with self._dying():
                step()
        self.lose_power()

    def run_interrupted_twice(self) -> None:
        """Killed when a snapshot has its name, but not durably; then the power fails when the next start's has one."""
        for _ in range(3):
            self.add()
            self.write()
        self.advance_commit()
        self.disk.refuse = self._kill_at_sync_of_names
        try:
            self.chance.choice((self.take_snapshot, self.install_snapshot))()
            self.kill()
        except PowerLostError:
            self._live_on()
        self.disk.refuse = self._lose_power_at_sync_of_names
        try:
            self._open()
        except PowerLostError:
            self._live_on()
        self.lose_power()

    # ---------------------------------------------------------------------------- what it does

    def add(self) -> None:
        for _ in range(self.chance.choice((1, 1, 2, 5))):
            index = self.journal.last_index + 1
            command = self.chance.randbytes(self.chance.choice((0, 1, 30, 600, 1500)))
            self.journal.add(command, index, self.term)
            self.ever.add((command, index, self.term))

    def write(self) -> None:
        written = self.journal.write()
        if written is not None:
            self.journal.wrote(written)
        self._acknowledge()

    def vote(self) -> None:
        self._new_term(self.chance.choice(("", "me", "other")))

    def cut(self) -> None:
        """A new leader has other entries in the place of some that are not committed."""
        first = max(self.commit, self.journal.before.index) + 1
        index = self.chance.randint(first, self.journal.last_index + 1)
        self._take_back(index)
        self.journal.cut_from(index)
        self._new_term("")

    def advance_commit(self) -> None:
        """Others may have what is not yet durable here."""
        self.commit = self.chance.randint(self.commit, self.journal.last_index)
        self.journal.set_commit(self.commit)
        if self.chance.random() < 0.5:
            self.journal.note_commit()

    def take_snapshot(self) -> None:
        if self.commit <= self.snapshots.position.index:
            return
        term = self.journal.term_of(self.commit)
        before, commit = self.journal.before.index, self.commit
        through = self.chance.choice((commit, self.chance.randint(before, commit)))
        parts = self._new_parts()
        with self.snapshots.create(self.commit, term, b"members") as writer:
            for part in parts:
                writer.add(part)
            self.parts[writer._digest.value()] = parts
            if self.ways.compacts_early:
                self.journal.compact(through)
                self.write()
            self.snapshot = writer.finish().index
        self.journal.compact(through)

    def install_snapshot(self) -> None:
        """The leader has a snapshot only: of what comes behind this log, or in the place of its end."""
        index = self.chance.randint(self.commit + 1, self.journal.last_index + 5)
        self.void_after = self.commit
        self._take_back(self.commit + 1)
        self._new_term("")
        parts = self._new_parts()
        with self.snapshots.create(index, self.term, b"members") as writer:
            for part in parts:
                writer.add(part)
            self.parts[digest := writer._digest.value()] = parts
            if self.ways.installs_early:
                self.journal.restart_after(index, self.term)
                self.write()
            self.snapshot = writer.finish(digest).index
        self.commit = index
        self.acknowledged.clear()
        if not self.ways.installs_early:
            self.journal.restart_after(index, self.term)
        self.void_after = None

    def kill(self) -> None:
        self.disk.kill()
        self._look()

    def lose_power(self) -> None:
        self.disk.lose_power()
        self._look()

    # ------------------------------------------------------------------------------ how it does it

    def _new_term(self, vote: str) -> None:
        self.term += 1
        self.journal.set_term(self.term, vote)
        self.journal.flush()
        self.promised = self.journal.hard_state
        self._acknowledge()

    def _new_parts(self) -> list[bytes]:
        return [self.chance.randbytes(self.chance.choice((0, 40, 1200))) for _ in range(3)]

    def _acknowledge(self) -> None:
        """Whoever hears of it may count on what is durable from now on."""
        durable = self.journal.durable
        through = durable if self.void_after is None else min(durable, self.void_after)
        for index in range(self.journal.first_index, through + 1):
            self.acknowledged[index] = self.journal.entry(index)

    def _take_back(self, index: int) -> None:
        for after in [known for known in self.acknowledged if known >= index]:
            del self.acknowledged[after]

    @contextmanager
    def _dying(self) -> Iterator[None]:
        try:
            yield
        except PowerLostError:
            self._acknowledge()  # what the journal said before
            self._look()

    # ---------------------------------------------------------------------- starting, and looking

    def _die_within(self, operations: int) -> None:
        at = self.disk.operations + self.chance.randint(1, operations)
        if self.chance.random() < 0.25:
            self.disk.refuse = self._die_at_sync_of_names
        elif self.chance.random() < 0.3:
            self.disk.kill_at = at
        else:
            self.disk.lose_power_at = at

    def _live_on(self) -> None:
        self.disk.lose_power_at = self.disk.kill_at = None
        self.disk.refuse = lambda _operation, _name: None

    def _kill_at_sync_of_names(self, operation: str, _name: str) -> None:
        if operation == "sync_names":
            self.disk.kill_at = self.disk.operations

    def _die_at_sync_of_names(self, operation: str, name: str) -> None:
        """The moment when names are seen that are not durable."""
        if self.chance.random() < 0.5:
            self._kill_at_sync_of_names(operation, name)
        else:
            self._lose_power_at_sync_of_names(operation, name)

    def _lose_power_at_sync_of_names(self, operation: str, _name: str) -> None:
        if operation == "sync_names":
            self.disk.lose_power_at = self.disk.operations

    def _open(self) -> None:
        directory = self.ways.directory(self.disk.directory())
        self.snapshots = Snapshots.load(directory, self.seal)
        self.journal = self.ways.journal.open(directory, self.seal, self.snapshots.position)

    def _look(self) -> None:
        for _ in range(self.chance.choice((0, 0, 0, 1, 2, STARTS_MAX))):
            self._die_within(30)
            try:
                self._open()
            except PowerLostError:
                continue
            break
        else:
            self._live_on()
            self._open()
        self._live_on()
        self._check_snapshot()
        self._check_entries()
        self._check_hard_state()
        state = self.journal.hard_state
        self.void_after = None
        self.promised, self.snapshot = state, self.snapshots.position.index
        self.term, self.commit = max(self.term, state.term), state.commit
        self._acknowledge()

    def _check_snapshot(self) -> None:
        latest = self.snapshots.latest
        if self.snapshots.position.index < self.snapshot:
            raise PromiseBrokenError("a snapshot that was finished is gone")
        if latest is not None:
            with self.snapshots.open(latest) as reader:
                if list(reader) != self.parts[latest.digest]:
                    raise PromiseBrokenError("a snapshot is another one")

    def _check_entries(self) -> None:
        journal, covered = self.journal, self.snapshots.position.index
        for index, entry in self.acknowledged.items():
            if index <= covered:
                continue
            if index > journal.last_index or journal.entry(index) != entry:
                raise PromiseBrokenError(f"acknowledged entry {index} is gone")
        if not self.ever.issuperset(journal.entries):
            raise PromiseBrokenError("there is an entry that nobody added")
        indexes = [index for _, index, _ in journal.entries]
        if indexes != list(range(journal.first_index, journal.last_index + 1)):
            raise PromiseBrokenError("there is a gap in the log")
        if not journal.before.index <= covered <= journal.last_index:
            raise PromiseBrokenError("there is a gap between snapshot and log")

    def _check_hard_state(self) -> None:
        state = self.journal.hard_state
        if state.term < self.promised.term:
            raise PromiseBrokenError("a term is gone")
        if state.term == self.promised.term and state.vote != self.promised.vote:
            raise PromiseBrokenError("a vote is gone")
        if state.commit > self.journal.last_index:
            raise PromiseBrokenError("something is committed that is not there")
