"""The journal's format, as pure functions: items to bytes, and a file's bytes back to items.

    file   = header batch*
    header = "swarmdJ1"  salt (8)  crc32 of both (4)
    batch  = length (4)  crc32 (4)  item*                 what one fdatasync made durable together
    item   = "E" index (8) term (8) length (4) command    an entry; it takes the place of any of its index and later
           | "H" term (8) commit (8) length (2) vote      the hard state

All numbers are little-endian. A batch is written only after the one before it is durable. So a damaged batch with
a good one after it is no interrupted write but damage to what was acknowledged, and the log must not be trusted;
a damaged batch at the end was never acknowledged and is dropped. The checksum covers the length and is seeded with
the file's own salt, so that no command, whatever a user puts into it, can pass for a batch.
"""

import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from common.errors import SystemFailureError
from manager.raft.log import ENTRY_BYTES_MAX

MAGIC = b"swarmdJ1"
SALT_BYTES = 8
_CHECKSUM = struct.Struct("<I")
HEADER_BYTES = len(MAGIC) + SALT_BYTES + _CHECKSUM.size
BATCH_BYTES_MAX = 16 * 1024 * 1024
"""A batch takes no more items once it is this large."""
_BATCH_BYTES_POSSIBLE = BATCH_BYTES_MAX + 2 * ENTRY_BYTES_MAX

_BATCH = struct.Struct("<II")
_LENGTH = struct.Struct("<I")
_ENTRY = struct.Struct("<cQQI")
_HARD_STATE = struct.Struct("<cQQH")
_ENTRY_KIND, _HARD_STATE_KIND = b"E", b"H"
_LIKE_A_BATCH = re.compile(rb"(?s)(?=...[\x00\x01]....[EH])")
"""Where a batch may start: its length is below 2**25, and its first item is of a known kind."""


class JournalDamagedError(SystemFailureError):
    """The journal holds something else than was written to it."""


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


Item = EntryItem | HardState


def pack_header(salt: bytes) -> bytes:
    """The first bytes of a new journal."""
    return MAGIC + salt + _CHECKSUM.pack(zlib.crc32(MAGIC + salt))


def seed_of(header: bytes, name: str) -> int:
    """The seed of the checksums of a journal with that header.

    Raises:
        JournalDamagedError: it is not the header of a journal.
    """
    head = header[: HEADER_BYTES - _CHECKSUM.size]
    if len(header) != HEADER_BYTES or not head.startswith(MAGIC):
        raise JournalDamagedError(f"{name} is not a journal of this version of swarmd")
    if _CHECKSUM.pack(zlib.crc32(head)) != header[len(head) :]:
        raise JournalDamagedError(
            f"{name} is damaged at byte 0: its header does not fit its checksum"
        )
    return zlib.crc32(head[len(MAGIC) :])


def pack_entry(entry: EntryItem) -> bytes:
    """An entry as an item of a batch."""
    command = entry.command
    return _ENTRY.pack(_ENTRY_KIND, entry.index, entry.term, len(command)) + command


def pack_hard_state(state: HardState) -> bytes:
    """The hard state as an item of a batch."""
    vote = state.vote.encode()
    return _HARD_STATE.pack(_HARD_STATE_KIND, state.term, state.commit, len(vote)) + vote


def pack_batch(items: Iterable[bytes], seed: int) -> bytes:
    """A batch of packed items."""
    body = b"".join(items)
    return _LENGTH.pack(len(body)) + _CHECKSUM.pack(_checksum(body, seed)) + body


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a journal's bytes say."""

    batches: tuple[tuple[Item, ...], ...]
    end: int
    """Offset behind the last good batch."""
    torn: int
    """Bytes behind it: a write that was interrupted, and never acknowledged."""


def recover(data: bytes, name: str) -> Recovered:
    """Reads a whole journal.

    Raises:
        JournalDamagedError: it holds damage that no interrupted write can leave.
    """
    seed = seed_of(data[:HEADER_BYTES], name)
    offset, batches = HEADER_BYTES, []
    while (end := _batch_end(data, offset, seed)) is not None:
        batches.append(tuple(_items(data, offset + _BATCH.size, end, name)))
        offset = end
    if offset < len(data):
        _refuse_damage(data, offset, seed, name)
    return Recovered(tuple(batches), offset, len(data) - offset)


def _checksum(body: bytes, seed: int) -> int:
    return zlib.crc32(body, zlib.crc32(_LENGTH.pack(len(body)), seed))


def _batch_end(data: bytes, offset: int, seed: int) -> int | None:
    """The offset behind the batch at ``offset``; None when there is no good one."""
    start = offset + _BATCH.size
    if start > len(data):
        return None
    length, checksum = _BATCH.unpack_from(data, offset)
    if not 0 < length <= _BATCH_BYTES_POSSIBLE or start + length > len(data):
        return None
    end: int = start + length
    return end if _checksum(data[start:end], seed) == checksum else None


def _items(data: bytes, offset: int, end: int, name: str) -> Iterator[Item]:
    while offset < end:
        kind = data[offset : offset + 1]
        if kind == _ENTRY_KIND:
            _, index, term, length = _ENTRY.unpack_from(data, offset)
            offset += _ENTRY.size + length
            yield EntryItem(index, term, data[offset - length : offset])
        elif kind == _HARD_STATE_KIND:
            _, term, commit, length = _HARD_STATE.unpack_from(data, offset)
            offset += _HARD_STATE.size + length
            yield HardState(term, commit, data[offset - length : offset].decode())
        else:
            raise JournalDamagedError(
                f"{name} holds something unknown at byte {offset}",
                hint="it was written by a newer version of swarmd",
            )


def _refuse_damage(data: bytes, offset: int, seed: int, name: str) -> None:
    for candidate in _LIKE_A_BATCH.finditer(data, offset + 1):
        if _batch_end(data, candidate.start(), seed) is not None:
            raise JournalDamagedError(
                f"{name} is damaged at byte {offset}: what stands there does not fit its checksum, "
                f"but good records follow from byte {candidate.start()}",
                hint="restore the file, or remove this manager from the swarm and let it join anew",
            )
