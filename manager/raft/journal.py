"""The member's own durable memory: the entries of its log and its hard state, in sealed append-only segments.

One thread (the event loop's) changes the journal and sees every change at once; ``write`` makes what changed so far
durable, in any one thread at a time. Only what ``durable`` says may be acknowledged or counted for a majority.

All entries behind ``before`` are in memory; ``compact`` bounds them, and the disk, once a snapshot has what was before.
"""

import errno
import threading
from collections import deque
from dataclasses import replace
from itertools import islice
from typing import NamedTuple, Self

from manager.raft.disk import Directory, told
from manager.raft.log import LogEntry
from manager.raft.records import (
    BATCH_BYTES_MAX,
    NOWHERE,
    Begins,
    HardState,
    JournalDamagedError,
    Position,
    pack_entry,
    pack_item,
)
from manager.raft.replay import Replay
from manager.raft.seal import Seal
from manager.raft.segments import Batch, Segments


class Written(NamedTuple):
    """How far a ``write`` came."""

    through: int
    """The last index of the log when the last item written was queued."""
    term: int
    """The term of that entry."""
    cuts: int
    """How often the log had been cut by then."""


class _Queued(NamedTuple):
    """An item on its way to the disk."""

    packed: bytes
    written: Written
    state: HardState | None = None
    """The hard state, when the item is one."""
    begins: bool = False
    """Whether the log begins anew with it."""


class Journal:
    """The entries behind ``before`` without a gap, and the hard state."""

    def __init__(self, segments: Segments, replay: Replay) -> None:
        """What was read, and where to write on: use ``open``."""
        self.before = replay.before
        """Where the log begins: just behind this entry, which a snapshot holds."""
        self.entries = replay.entries
        """Read only."""
        self.bytes = sum(len(command) for command, _, _ in replay.entries)
        """How much the commands of these entries take."""
        self.hard_state = replay.state
        self.durable = self.last_index
        """The highest index that is known to be on disk, with everything before it."""
        self._segments = segments
        self._queue: deque[_Queued] = deque()
        self._written_state = replay.state
        self._cuts = 0
        self._covered = self._removed = replay.before.index
        self._writing = threading.Lock()
        self._broken = False

    @classmethod
    def open(cls, directory: Directory, seal: Seal, snapshot: Position = NOWHERE) -> Self:
        """Reads the log, repairs what an interrupted write left, and begins a new segment.

        ``snapshot`` is the place of the durable snapshot beside the log (``NOWHERE``: there is none).

        Raises:
            JournalDamagedError: the log is not what was written, or something is missing.
            SystemFailureError: the machine refuses: a full disk, a failing one.
        """
        segments = Segments(directory, seal)
        with told(f"open the log in {directory.name}"):
            try:
                replay = _read(segments, directory.name, snapshot)
                segments.begin(replay.over(snapshot), replay.state)
                segments.remove_before(snapshot.index)
            except BaseException:
                segments.close()
                raise
        return cls(segments, replay)

    @property
    def first_index(self) -> int:
        """Index of the first entry that is here, or would be."""
        return self.before.index + 1

    @property
    def last_index(self) -> int:
        """Index of the last entry; that of ``before`` when there is none."""
        return self.entries[-1][1] if self.entries else self.before.index

    @property
    def last_term(self) -> int:
        """Term of the last entry; that of ``before`` when there is none."""
        return self.entries[-1][2] if self.entries else self.before.term

    @property
    def has_unwritten(self) -> bool:
        """Whether ``write`` has something to do."""
        return bool(self._queue) or self._covered > self._removed

    def entry(self, index: int) -> LogEntry:
        """The entry of that index.

        Raises:
            IndexError: it is not here: compacted, or not yet added.
        """
        place = index - self.before.index - 1
        if place < 0:
            raise IndexError(f"entry {index} is not in the log: it begins with {self.first_index}")
        return self.entries[place]

    def term_of(self, index: int) -> int:
        """The term of the entry of that index, which may be the one just before the first.

        Raises:
            IndexError: it is not known here.
        """
        return self.before.term if index == self.before.index else self.entry(index)[2]

    def between(self, first: int, last: int, bytes_max: int) -> list[LogEntry]:
        """The entries from ``first`` to ``last``, as many as fit; at least one when there is one.

        Raises:
            IndexError: ``first`` was compacted.
        """
        if first <= self.before.index:
            raise IndexError(f"entry {first} is not in the log: it begins with {self.first_index}")
        found: list[LogEntry] = []
        size = 0
        start = first - self.before.index - 1
        for entry in self.entries[start : last - self.before.index]:
            size += len(entry[0])
            if found and size > bytes_max:
                break
            found.append(entry)
        return found

    # ------------------------------------------------------------------ changing, in the loop's thread

    def add(self, command: bytes, index: int, term: int) -> None:
        """Adds an entry at the end."""
        if index != self.last_index + 1:
            raise ValueError(f"entry {index} after entry {self.last_index}")
        self.entries.append((command, index, term))
        self.bytes += len(command)
        self._enqueue(pack_entry(index, term, command))

    def cut_from(self, index: int) -> None:
        """Takes away the entries from ``index`` on; on disk, the next one added takes their place."""
        if index <= self.before.index:
            raise ValueError(f"the log cannot be cut at {index}: it begins with {self.first_index}")
        place = index - self.before.index - 1
        self.bytes -= sum(len(command) for command, _, _ in self.entries[place:])
        del self.entries[place:]
        self.durable = min(self.durable, index - 1)
        self._cuts += 1

    def set_term(self, term: int, vote: str) -> None:
        """Sets term and vote. Call ``flush`` before anyone may learn of them."""
        self.hard_state = replace(self.hard_state, term=term, vote=vote)
        self._enqueue(pack_item(self.hard_state), self.hard_state)

    def set_commit(self, commit: int) -> None:
        """Remembers how far the log is committed; it reaches the disk with the next hard state."""
        self.hard_state = replace(self.hard_state, commit=commit)

    def note_commit(self) -> None:
        """Queues the hard state with its commit index."""
        self._enqueue(pack_item(self.hard_state), self.hard_state)

    def compact(self, through: int) -> None:
        """Forgets the entries up to ``through``: from memory now, from the disk with the writes to come.

        Call it only once a snapshot of everything up to ``through`` is durable.
        """
        if through <= self.before.index:
            return
        self.before = Position(through, self.term_of(through))
        kept = self.entries[0][1]
        dropped = through - kept + 1
        self.bytes -= sum(len(command) for command, _, _ in islice(self.entries, dropped))
        del self.entries[:dropped]
        self.durable = max(self.durable, through)
        self._covered = through

    def restart_after(self, index: int, term: int) -> None:
        """Has the log begin anew behind an entry that another member's snapshot ends with; keeps no entry.

        Call it only once that snapshot is durable: it is what stands for the log until this has reached the disk.
        """
        self.before = Position(index, term)
        self.entries.clear()
        self.bytes = 0
        self.durable = self._covered = index
        self._cuts += 1
        self.hard_state = replace(self.hard_state, commit=max(self.hard_state.commit, index))
        self._enqueue(pack_item(Begins(self.before)), begins=True)
        self._enqueue(pack_item(self.hard_state), self.hard_state)

    # ---------------------------------------------------------------------------------- to the disk

    def write(self) -> Written | None:
        """Makes durable what is queued, as one batch; None when nothing was. One thread at a time.

        Raises:
            OSError: nothing more may be written or acknowledged by this process: after a failed fsync the kernel
                forgets what it could not write.
        """
        with self._writing:
            if self._broken:
                raise OSError(errno.EIO, "an earlier write failed")
            covered = (
                self._covered
            )  # before the queue: what was queued when it was set is not needed for it
            batch, written = self._take()
            self._broken = True  # until it has worked
            if batch is not None:
                self._segments.write(batch)
            if covered > self._removed:
                self._segments.remove_before(covered)
                self._removed = covered
            self._broken = False
            return written

    def wrote(self, written: Written) -> None:
        """Takes in, in the loop's thread, how far a write came."""
        if written.cuts == self._cuts:
            self.durable = max(self.durable, written.through)

    def flush(self) -> None:
        """Makes everything durable before it returns; blocks."""
        while (written := self.write()) is not None:  # waits for a write in another thread first
            self.wrote(written)

    def close(self) -> None:
        """Flushes, unless a write has failed, and lets go of the files."""
        try:
            if not self._broken:
                self.flush()
        finally:
            self._segments.close()

    # --------------------------------------------------------------------------------------- inside

    def _enqueue(
        self, packed: bytes, state: HardState | None = None, *, begins: bool = False
    ) -> None:
        written = Written(self.last_index, self.last_term, self._cuts)
        self._queue.append(_Queued(packed, written, state, begins))

    def _take(self) -> tuple[Batch | None, Written | None]:
        """The next batch from the queue; an item with which the log begins anew is one of its own."""
        taken: list[_Queued] = []
        size = 0
        while self._queue and size < BATCH_BYTES_MAX:
            if taken and (self._queue[0].begins or taken[-1].begins):
                break
            taken.append(self._queue.popleft())
            size += len(taken[-1].packed)
            self._written_state = taken[-1].state or self._written_state
        if not taken:
            return None, None
        last = taken[-1]
        end = Position(last.written.through, last.written.term)
        return Batch(
            [queued.packed for queued in taken],
            end,
            self._written_state,
            end if last.begins else None,
        ), last.written


def _read(segments: Segments, place: str, snapshot: Position) -> Replay:
    replay = Replay()
    all_found = segments.find()
    if not all_found:
        if snapshot.index:
            raise JournalDamagedError(
                f"{place} has a snapshot, but no log",
                hint="restore it, or remove this manager from the swarm and let it join anew",
            )
        replay.take(Begins(NOWHERE), place)
    for found in all_found:
        for number, batch in enumerate(segments.read(found)):
            for item in batch:
                replay.take(item, found.name)
            if number == 0:
                anew = isinstance(batch[0], Begins)
                segments.starts_at(found.header.number, replay.end, anew=anew)
    return replay
