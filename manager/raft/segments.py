"""The log's files: read at the start, then written one batch at a time, each durable before the next.

A process writes only to segments which it created itself. A segment is created under another name, written up to its
first batch (where the log stands, and the hard state), synced, renamed, and its name synced, before anything in it
counts. So a segment that is seen under its name is never half there.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from manager.raft.disk import NEW_SUFFIX, Directory, File
from manager.raft.records import (
    HEADER_BYTES,
    NOWHERE,
    Begins,
    Follows,
    HardState,
    Header,
    Item,
    JournalDamagedError,
    Position,
    SegmentReader,
    pack_batch,
    pack_header,
    pack_item,
    unpack_header,
)
from manager.raft.seal import Cipher, Seal

_log = logging.getLogger("swarmd.raft.journal")

SEGMENT_BYTES_MAX = 32 * 1024 * 1024
"""A segment takes no more batches once it is this large, or once the key that it is sealed with is not the newest."""
ALLOCATE_BYTES = 1024 * 1024
"""Space is taken from the disk so much ahead: a sync is faster when the file does not grow with each."""
_NAME = re.compile(r"log-(\d{16})")


def segment_name(number: int) -> str:
    """What the file of that segment is called."""
    return f"log-{number:016}"


@dataclass(frozen=True, slots=True)
class Batch:
    """What is to become durable at once."""

    items: Sequence[bytes]
    """Packed."""
    end: Position
    """The end of the log, once they are in it."""
    state: HardState
    """The hard state, once they are in it."""
    begins: Position | None = None
    """They are void, like the log before: it begins anew behind this position."""


@dataclass(frozen=True, slots=True)
class Found:
    """A segment that stood there at the start."""

    name: str
    header: Header
    cipher: Cipher
    bytes_after: int | None
    """How long the segment behind it says that it is; None when it is the last one."""


@dataclass(frozen=True, slots=True)
class _Last:
    """How the last segment that stood there at the start ends."""

    name: str
    end: int
    """Behind its last whole batch."""
    size: int
    torn: int
    """What an interrupted write left behind that."""


@dataclass(slots=True)
class _Current:
    """The segment that this process writes to."""

    number: int
    file: File
    cipher: Cipher
    size: int
    batches: int
    allocated: int
    """How far there is space for it, as zeros behind its size."""

    def close(self) -> None:
        """Gives back the space that it did not need, and lets go of it."""
        try:
            if self.allocated > self.size:
                self.file.truncate(self.size)
        finally:
            self.file.close()


class Segments:
    """The segments in one directory. One thread at a time uses them."""

    def __init__(self, directory: Directory, seal: Seal) -> None:
        self._directory, self._seal = directory, seal
        self._starts: dict[int, Position] = {}
        """Where the log stood when each segment was begun: of those before it, nothing behind that is needed."""
        self._last: _Last | None = None
        self._next_number, self._bytes_before = 1, 0
        self._last_begins_anew = self._begins_anew = False
        self._current: _Current | None = None
        self._end, self._state = NOWHERE, HardState()

    # ------------------------------------------------------------------------------- at the start

    def find(self) -> list[Found]:
        """The segments that belong together, oldest first; and takes away what an interrupted creation left.

        A gap in the numbers is what an interrupted removal of old segments may leave: those before it are not needed
        when the one behind it begins within the snapshot, which the caller checks.

        Raises:
            JournalDamagedError: one of them is not what was written.
        """
        names = self._directory.list()
        self._directory.sync()  # they may so far stand in memory only
        for name in names:
            if name.endswith(NEW_SUFFIX) and _NAME.fullmatch(name.removesuffix(NEW_SUFFIX)):
                self._directory.remove(name)
        numbers = sorted(int(match[1]) for name in names if (match := _NAME.fullmatch(name)))
        together = [
            n for place, n in enumerate(numbers) if numbers[-1] - n == len(numbers) - 1 - place
        ]
        self._starts = {n: NOWHERE for n in numbers if n not in together}
        headers = [self._header(number) for number in together]
        sizes = [*(header.bytes_before for header, _ in headers[1:]), None]
        return [
            Found(segment_name(header.number), header, cipher, size)
            for (header, cipher), size in zip(headers, sizes, strict=False)
        ]

    def read(self, found: Found) -> Iterator[list[Item]]:
        """The batches of a segment. Behind those of the last one, an interrupted write may have left something.

        Raises:
            JournalDamagedError: it is not what was written.
        """
        file = self._directory.open(found.name)
        try:
            size = file.size() if found.bytes_after is None else found.bytes_after
            data = file.read(0, size)
            reader = SegmentReader(data, file.name, found.cipher)
            yield from reader
            if found.bytes_after is not None:
                reader.check_end(found.bytes_after)
            else:
                self._last = _Last(found.name, reader.end, size, reader.torn_bytes())
                self._go_on_behind(found.header, reader)
        finally:
            file.close()

    def starts_at(self, number: int, position: Position, *, anew: bool) -> None:
        """Notes where a segment that was read begins, and whether the log begins anew with it."""
        self._starts[number] = position
        self._last_begins_anew = anew

    def _header(self, number: int) -> tuple[Header, Cipher]:
        file = self._directory.open(segment_name(number))
        try:
            header, cipher = unpack_header(file.read(0, HEADER_BYTES), file.name, self._seal)
        finally:
            file.close()
        if header.number != number:
            raise JournalDamagedError(f"{file.name} is segment {header.number} under another name")
        return header, cipher

    def _go_on_behind(self, last: Header, reader: SegmentReader) -> None:
        if reader.batches > 1:
            self._next_number, self._bytes_before = last.number + 1, reader.end
        else:  # it says nothing that the new one does not say: so that their number does not grow with every start
            self._next_number, self._bytes_before = last.number, last.bytes_before
            self._begins_anew = self._last_begins_anew

    # ---------------------------------------------------------------------------------- from then on

    def begin(self, start: Begins | Follows, state: HardState) -> None:
        """Begins the first segment of this process, behind all that were read; they are whole and durable before."""
        if self._last is not None:
            self._repair(self._last)
        if self._begins_anew:  # as does the one whose place it takes
            start = Begins(start.position)
        self._create(self._next_number, start, state, self._bytes_before)

    def _repair(self, last: "_Last") -> None:
        """Cuts off what an interrupted write left, and space that was never used."""
        file = self._directory.open(last.name)
        try:
            if last.torn:
                _log.warning(
                    "dropping an interrupted write at the end of the log",
                    extra={"file": file.name, "offset": last.end, "bytes": last.torn},
                )
            if last.size > last.end:
                file.truncate(last.end)
            file.sync()  # what was read may so far stand in memory only
        finally:
            file.close()

    def write(self, batch: Batch) -> None:
        """Makes a batch durable, in a new segment when it is time for one.

        Raises:
            OSError: it may be durable or not, or in part; nothing more may be written.
        """
        current = self._writable()
        if batch.begins is not None:
            self._next(Begins(batch.begins), batch.state)
        else:
            if current.size >= SEGMENT_BYTES_MAX or not self._seal.is_newest(current.cipher):
                self._next(Follows(self._end), self._state)
                current = self._writable()
            self._append(current, batch.items)
        self._end, self._state = batch.end, batch.state

    def remove_before(self, through: int) -> None:
        """Removes the segments of which nothing behind that index is needed."""
        starts = self._starts
        keep = max((n for n, start in starts.items() if start.index <= through), default=0)
        for number in sorted(n for n in starts if n < keep):
            self._directory.remove(segment_name(number))
            del starts[number]

    def close(self) -> None:
        """Lets go of the files."""
        if self._current is not None:
            current, self._current = self._current, None
            current.close()

    def _writable(self) -> _Current:
        if self._current is None:
            raise ValueError("the segments are closed")
        return self._current

    def _append(self, current: _Current, items: Sequence[bytes]) -> None:
        packed = pack_batch(items, current.batches, current.cipher)
        end = current.size + len(packed)
        if end > current.allocated:
            current.allocated = end + ALLOCATE_BYTES
            current.file.allocate(current.allocated)
        current.file.write(packed, current.size)
        current.file.sync()
        current.size = end
        current.batches += 1

    def _next(self, start: Begins | Follows, state: HardState) -> None:
        before = self._writable()
        self._create(before.number + 1, start, state, before.size)
        before.close()

    def _create(
        self, number: int, start: Begins | Follows, state: HardState, bytes_before: int
    ) -> None:
        header, cipher = pack_header(
            Header(number, bytes_before, self._seal.new_salt()), self._seal
        )
        content = header + pack_batch((pack_item(start), pack_item(state)), 0, cipher)
        name = segment_name(number)
        file = self._directory.create(name + NEW_SUFFIX)
        try:
            file.write(content, 0)
            file.sync()
            self._directory.rename(name + NEW_SUFFIX, name)
            file.name = file.name.removesuffix(NEW_SUFFIX)
            self._directory.sync()
        except BaseException:
            file.close()
            raise
        self._current = _Current(number, file, cipher, len(content), 1, len(content))
        self._starts[number] = start.position
        self._end, self._state = start.position, state
