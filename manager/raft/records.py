"""The format of the log's segments, as pure functions: items to bytes, and a segment's bytes back to items.

    segment = header batch* zero*
    header  = "swarmdL2"  number (8)  bytes of the segment before (8)  salt (16)  proof (8)  crc32 of all before (4)
    batch   = mark (8)  length (4)  crc32 of the body (4)  crc32 of all before (4)  body
    body    = item*, sealed under the batch's number in the segment
    item    = "B" index (8) term (8)                     the log begins behind this position: what was before is void
            | "F" index (8) term (8)                     the log so far goes on behind this position
            | "E" index (8) term (8) length (4) command  an entry; it takes the place of any of its index and later
            | "H" term (8) commit (8) length (2) vote    the hard state

All numbers are little-endian. Mark, proof and the key that seals come from the manager's key, the salt and the header.
The first item of a segment is a B or an F, the second an H: so whatever is before a segment may be removed once its
entries are not needed, and the hard state is never lost by that.

A batch is written only after the one before it is durable, and a segment only after the one before it is whole and
durable; it says how long that one is. So an interrupted write can only be the end of the last segment, and looks like
one: the file ends too soon, or a whole sector of the batch is zeros (sealed bytes never are). It was not acknowledged,
and is dropped. Everything else that does not fit is damage to what was acknowledged, and the log must not be trusted.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from common.errors import SystemFailureError
from manager.raft.log import ENTRY_BYTES_MAX
from manager.raft.seal import (
    MARK_BYTES,
    PROOF_BYTES,
    SALT_BYTES,
    TAG_BYTES,
    Cipher,
    Seal,
    SealBrokenError,
)

MAGIC = b"swarmdL2"
BATCH_BYTES_MAX = 2 * 1024 * 1024
"""A batch takes no more items once it is this large. Sealing holds the interpreter for 1 ms for each MiB."""
SECTOR_BYTES = 512
"""What a disk writes wholly or not at all."""

_HEADER = struct.Struct(f"<{len(MAGIC)}sQQ{SALT_BYTES}s")
_CHECKSUM = struct.Struct("<I")
HEADER_BYTES = _HEADER.size + PROOF_BYTES + _CHECKSUM.size
_BATCH = struct.Struct(f"<{MARK_BYTES}sII")
BATCH_HEAD_BYTES = _BATCH.size + _CHECKSUM.size
_BODY_BYTES_POSSIBLE = BATCH_BYTES_MAX + 2 * ENTRY_BYTES_MAX
_POSITION = struct.Struct("<cQQ")
_ENTRY = struct.Struct("<cQQI")
_HARD_STATE = struct.Struct("<cQQH")
_BEGINS, _FOLLOWS, _IS_ENTRY, _IS_HARD_STATE = b"B", b"F", b"E", b"H"
_RESTORE = "restore the file, or remove this manager from the swarm and let it join anew"


class JournalDamagedError(SystemFailureError):
    """The log or a snapshot holds something else than was written to it."""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the log: just behind the entry of that index and term."""

    index: int
    term: int

    def __iter__(self) -> Iterator[int]:
        return iter((self.index, self.term))


NOWHERE = Position(0, 0)
"""Before the first entry of all."""


@dataclass(frozen=True, slots=True)
class Begins:
    """The log begins anew behind a position."""

    position: Position


@dataclass(frozen=True, slots=True)
class Follows:
    """The log so far goes on behind a position."""

    position: Position


@dataclass(frozen=True, slots=True)
class EntryItem:
    """An entry of the log."""

    index: int
    term: int
    command: bytes


@dataclass(frozen=True, slots=True)
class HardState:
    """What a member must never forget."""

    term: int = 0
    commit: int = 0
    vote: str = ""
    """The member that got this one's vote in ``term``; empty for none."""


Item = Begins | Follows | EntryItem | HardState


@dataclass(frozen=True, slots=True)
class Header:
    """How a segment begins."""

    number: int
    bytes_before: int
    """How long the segment before it is."""
    salt: bytes


def pack_item(item: Item) -> bytes:
    """An item as it stands in a batch."""
    match item:
        case EntryItem(index, term, command):
            return pack_entry(index, term, command)
        case HardState(term, commit, vote):
            voted = vote.encode()
            return _HARD_STATE.pack(_IS_HARD_STATE, term, commit, len(voted)) + voted
        case Begins(position):
            return _POSITION.pack(_BEGINS, *position)
        case Follows(position):
            return _POSITION.pack(_FOLLOWS, *position)


def pack_entry(index: int, term: int, command: bytes) -> bytes:
    """An entry as it stands in a batch."""
    return _ENTRY.pack(_IS_ENTRY, index, term, len(command)) + command


def pack_batch(items: Iterable[bytes], number: int, cipher: Cipher) -> bytes:
    """A batch of packed items, the ``number``-th of its segment (from 0)."""
    body = cipher.seal(number, b"".join(items))
    head = _BATCH.pack(cipher.mark, len(body), zlib.crc32(body))
    return head + _CHECKSUM.pack(zlib.crc32(head)) + body


def pack_header(header: Header, seal: Seal) -> tuple[bytes, Cipher]:
    """The first bytes of a segment, and what seals its batches."""
    start = _HEADER.pack(MAGIC, header.number, header.bytes_before, header.salt)
    cipher = seal.cipher(header.salt, start)
    return with_checksum(start + cipher.proof), cipher


def unpack_header(data: bytes, name: str, seal: Seal) -> tuple[Header, Cipher]:
    """The header at the beginning of a segment, and what opens its batches.

    Raises:
        JournalDamagedError: it is not one, or the key is another.
    """
    packed = bytes(data[:HEADER_BYTES])
    if not packed.startswith(MAGIC):
        raise JournalDamagedError(
            f"{name} is damaged at byte 0: it is no segment of a log of this version of swarmd",
            hint=_RESTORE,
        )
    start = packed[: _HEADER.size]
    if len(packed) < HEADER_BYTES or packed != with_checksum(packed[: -_CHECKSUM.size]):
        raise JournalDamagedError(
            f"{name} is damaged at byte 0: its header does not fit its checksum", hint=_RESTORE
        )
    _, number, bytes_before, salt = _HEADER.unpack(start)
    cipher = seal.opening(salt, start, packed[_HEADER.size : -_CHECKSUM.size])
    if cipher is None:
        raise wrong_key(name)
    return Header(number, bytes_before, salt), cipher


def wrong_key(name: str) -> JournalDamagedError:
    """What to say of a file that is whole, and sealed with another key."""
    return JournalDamagedError(
        f"{name} is sealed with another key than this manager's",
        hint="restore the key that it was written with",
    )


class SegmentReader:
    """The batches of one segment, in order; once they are read, ``end`` is behind the last of the ``batches``."""

    def __init__(self, data: bytes, name: str, cipher: Cipher) -> None:
        self.end, self.batches = HEADER_BYTES, 0
        self._data, self._name, self._cipher = data, name, cipher

    def __iter__(self) -> Iterator[list[Item]]:
        """Every batch, up to the first that is not whole.

        Raises:
            JournalDamagedError: a batch that is whole is not what was sealed there.
        """
        while (body := self._body(self.end)) is not None:
            start, end = body
            try:
                opened = self._cipher.open(self.batches, memoryview(self._data)[start:end])
            except SealBrokenError as error:
                raise self._damage(
                    "a record was not written there: it does not open with this manager's key"
                ) from error
            yield list(self._items(opened))
            self.end = end
            self.batches += 1

    def check_end(self, size: int) -> None:
        """Refuses a segment that another one follows, unless its batches go on to where that one says it ends.

        Raises:
            JournalDamagedError: they do not.
        """
        if self.end != size:
            raise self._damage(
                "what stands there does not fit its checksum, and another file follows"
            )

    def torn_bytes(self) -> int:
        """How much an interrupted write left behind the last batch of the last segment; it may be cut.

        Raises:
            JournalDamagedError: no interrupted write leaves what stands there.
        """
        tail = self._data[self.end :].rstrip(b"\0")
        if not tail:
            return 0
        self._refuse_good_batch_behind()
        if not self._looks_interrupted(len(tail)):
            raise self._damage("what stands there does not fit its checksum")
        return len(tail)

    def _body(self, offset: int) -> tuple[int, int] | None:
        """From where to where the body of the batch at ``offset`` goes; None when there is no whole one."""
        length = self._length(offset)
        if length is None:
            return None
        start = offset + BATCH_HEAD_BYTES
        end = start + length
        if end > len(self._data):
            return None
        _, _, checksum = _BATCH.unpack_from(self._data, offset)
        found = zlib.crc32(memoryview(self._data)[start:end])
        return (start, end) if found == checksum else None

    def _length(self, offset: int) -> int | None:
        """How long the body of the batch at ``offset`` is; None when its head is not whole."""
        head = self._data[offset : offset + BATCH_HEAD_BYTES]
        if len(head) < BATCH_HEAD_BYTES or not head.startswith(self._cipher.mark):
            return None
        if head != with_checksum(head[: _BATCH.size]):
            return None
        length: int = _BATCH.unpack_from(head)[1]
        return length if TAG_BYTES < length <= _BODY_BYTES_POSSIBLE else None

    def _looks_interrupted(self, tail_bytes: int) -> bool:
        if tail_bytes > BATCH_HEAD_BYTES + _BODY_BYTES_POSSIBLE:
            return False
        length = self._length(self.end)
        if length is None:
            stop = self.end + tail_bytes
            too_short = tail_bytes < BATCH_HEAD_BYTES
        else:
            stop = self.end + BATCH_HEAD_BYTES + length
            too_short = stop > len(self._data)
        return too_short or self._has_sector_of_zeros(stop)

    def _has_sector_of_zeros(self, stop: int) -> bool:
        start = self.end
        while start < stop:
            behind = min(start - start % SECTOR_BYTES + SECTOR_BYTES, stop)
            if not any(self._data[start:behind]):
                return True
            start = behind
        return False

    def _refuse_good_batch_behind(self) -> None:
        place = self._data.find(self._cipher.mark, self.end + 1)
        while place >= 0:
            if self._body(place) is not None:
                raise self._damage(
                    "what stands there does not fit its checksum, "
                    f"but good records follow from byte {place}"
                )
            place = self._data.find(self._cipher.mark, place + 1)

    def _items(self, opened: bytes) -> Iterator[Item]:
        offset = 0
        while offset < len(opened):
            kind = opened[offset : offset + 1]
            if kind == _IS_ENTRY:
                _, index, term, length = _ENTRY.unpack_from(opened, offset)
                offset += _ENTRY.size + length
                yield EntryItem(index, term, opened[offset - length : offset])
            elif kind == _IS_HARD_STATE:
                _, term, commit, length = _HARD_STATE.unpack_from(opened, offset)
                offset += _HARD_STATE.size + length
                yield HardState(term, commit, opened[offset - length : offset].decode())
            elif kind in {_BEGINS, _FOLLOWS}:
                position = Position(*_POSITION.unpack_from(opened, offset)[1:])
                offset += _POSITION.size
                yield Begins(position) if kind == _BEGINS else Follows(position)
            else:
                raise JournalDamagedError(
                    f"{self._name} holds something unknown in the record at byte {self.end}",
                    hint="it was written by a newer version of swarmd",
                )

    def _damage(self, what: str) -> JournalDamagedError:
        return JournalDamagedError(
            f"{self._name} is damaged at byte {self.end}: {what}", hint=_RESTORE
        )


def with_checksum(data: bytes) -> bytes:
    """Bytes, and behind them their checksum."""
    return data + _CHECKSUM.pack(zlib.crc32(data))
