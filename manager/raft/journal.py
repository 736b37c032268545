"""The member's own durable memory: the entries of its log and its hard state, in one append-only file.

One thread (the event loop's) changes the journal and sees every change at once; ``write`` makes what changed so far
durable, in any one thread at a time. Only what ``durable`` says may be acknowledged or counted for a majority.
"""

import errno
import logging
import threading
from collections import deque
from dataclasses import dataclass, replace

from manager.raft.disk import File
from manager.raft.records import (
    BATCH_BYTES_MAX,
    HEADER_BYTES,
    EntryItem,
    HardState,
    Item,
    JournalDamagedError,
    pack_batch,
    pack_entry,
    pack_hard_state,
    recover,
    seed_of,
)

_log = logging.getLogger("swarmd.raft.journal")

LogEntry = tuple[bytes, int, int]
"""(command, index, term), as PySyncObj wants them."""


@dataclass(frozen=True, slots=True)
class Written:
    """How far a ``write`` came."""

    through: int
    """The last index of the log when the last item written was queued."""
    cuts: int
    """How often the log had been cut by then."""


class Journal:
    """Entries from ``first`` on without a gap, and the hard state."""

    def __init__(self, file: File) -> None:
        data = file.read()
        recovered = recover(data, file.name)
        self.entries: list[LogEntry] = []
        self.hard_state = HardState()
        for batch in recovered.batches:
            for item in batch:
                self._replay(item, file.name)
        if self.hard_state.commit > self.last_index:
            raise JournalDamagedError(
                f"{file.name} ends at entry {self.last_index}, "
                f"but says that entry {self.hard_state.commit} was committed"
            )
        if recovered.torn:
            _log.warning(
                "dropping an interrupted write at the end of the journal",
                extra={"file": file.name, "offset": recovered.end, "bytes": recovered.torn},
            )
            file.truncate(recovered.end)
        file.sync()  # what was read may so far stand in memory only
        self.durable = self.last_index
        """The highest index that is known to be on disk, with everything before it."""
        self._file = file
        self._seed = seed_of(data[:HEADER_BYTES], file.name)
        self._queue: deque[tuple[bytes, Written]] = deque()
        self._cuts = 0
        self._writing = threading.Lock()
        self._broken = False

    @property
    def last_index(self) -> int:
        """Index of the last entry; 0 when there is none."""
        return self.entries[-1][1] if self.entries else 0

    @property
    def has_unwritten(self) -> bool:
        """Whether ``write`` has something to do."""
        return bool(self._queue)

    def entry(self, index: int) -> LogEntry:
        """The entry of that index."""
        return self.entries[index - self.entries[0][1]]

    def term_of(self, index: int) -> int:
        """The term of the entry of that index."""
        return self.entry(index)[2]

    # ------------------------------------------------------------------ changing, in the loop's thread

    def add(self, command: bytes, index: int, term: int) -> None:
        """Adds an entry at the end."""
        if self.entries and index != self.last_index + 1:
            raise ValueError(f"entry {index} after entry {self.last_index}")
        self.entries.append((command, index, term))
        self._enqueue(pack_entry(EntryItem(index, term, command)))

    def cut_from(self, index: int) -> None:
        """Takes away the entries from ``index`` on; on disk, the next one added takes their place."""
        del self.entries[index - self.entries[0][1] :]
        self.durable = min(self.durable, index - 1)
        self._cuts += 1

    def set_term(self, term: int, vote: str) -> None:
        """Sets term and vote. Call ``flush`` before anyone may learn of them."""
        self.hard_state = replace(self.hard_state, term=term, vote=vote)
        self._enqueue(pack_hard_state(self.hard_state))

    def set_commit(self, commit: int) -> None:
        """Remembers how far the log is committed; it reaches the disk with the next entry."""
        self.hard_state = replace(self.hard_state, commit=commit)

    def note_commit(self) -> None:
        """Queues the hard state with its commit index."""
        self._enqueue(pack_hard_state(self.hard_state))

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
            items, last, size = [], None, 0
            while self._queue and size < BATCH_BYTES_MAX:
                packed, last = self._queue.popleft()
                items.append(packed)
                size += len(packed)
            if last is not None:
                self._broken = True  # until it has worked
                self._file.append(pack_batch(items, self._seed))
                self._file.sync()
                self._broken = False
            return last

    def wrote(self, written: Written) -> None:
        """Takes in, in the loop's thread, how far a write came."""
        if written.cuts == self._cuts:
            self.durable = max(self.durable, written.through)

    def flush(self) -> None:
        """Makes everything durable before it returns; blocks."""
        while (written := self.write()) is not None:  # waits for a write in another thread first
            self.wrote(written)

    def close(self) -> None:
        """Flushes, unless a write has failed, and lets go of the file."""
        try:
            if not self._broken:
                self.flush()
        finally:
            self._file.close()

    # --------------------------------------------------------------------------------------- inside

    def _enqueue(self, packed: bytes) -> None:
        self._queue.append((packed, Written(self.last_index, self._cuts)))

    def _replay(self, item: Item, name: str) -> None:
        if isinstance(item, HardState):
            self.hard_state = item
            return
        first = self.entries[0][1] if self.entries else item.index
        if not first <= item.index <= (self.last_index + 1 if self.entries else first):
            raise JournalDamagedError(
                f"{name} holds entry {item.index} after entry {self.last_index}"
            )
        del self.entries[item.index - first :]
        self.entries.append((item.command, item.index, item.term))
