"""The format of a snapshot, and reading one.

    snapshot = header part* trailer end
    header   = "swarmdS1"  index (8)  term (8)  salt (16)  proof (8)  crc32 of all before (4)
    part     = what one of ``StateMachine.snapshot`` gave, sealed under its number (from 0)
    trailer  = bytes (8)  digest (32)  length (4) configuration  length of each part (4)*, sealed
    end      = length of the sealed trailer (4)  crc32 of all before in the end (4)  "swarmdSE"

All numbers are little-endian. The digest (SHA-256) is over index, term, configuration and the parts as they are in
clear, so members can compare it, whatever keys they have.
"""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from common.errors import SystemFailureError
from manager.raft.disk import File
from manager.raft.records import Position, with_checksum, wrong_key
from manager.raft.seal import (
    PROOF_BYTES,
    SALT_BYTES,
    TAG_BYTES,
    Cipher,
    Seal,
    SealBrokenError,
)

CONFIGURATION_BYTES_MAX: Final = 1024 * 1024
PARTS_MAX: Final = 64 * 1024
"""Parts of one snapshot: 32 GiB."""

_MAGIC, _END_MAGIC = b"swarmdS1", b"swarmdSE"
_HEADER = struct.Struct(f"<{len(_MAGIC)}sQQ{SALT_BYTES}s")
_CHECKSUM_BYTES = 4
_HEADER_BYTES = _HEADER.size + PROOF_BYTES + _CHECKSUM_BYTES
_TRAILER = struct.Struct("<Q32sI")
_LENGTH = struct.Struct("<I")
_END_BYTES = _LENGTH.size + _CHECKSUM_BYTES + len(_END_MAGIC)
_TRAILER_NUMBER = 1 << 64
"""No part has it."""
_TRAILER_BYTES_MAX = _TRAILER.size + CONFIGURATION_BYTES_MAX + PARTS_MAX * _LENGTH.size + TAG_BYTES


class SnapshotDamagedError(SystemFailureError):
    """A snapshot holds something else than was written to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotMeta:
    """What a snapshot is of."""

    index: int
    term: int
    configuration: bytes
    """The members, as raft packed them."""
    parts: int
    size_bytes: int
    """Of all parts, in clear."""
    digest: bytes

    @property
    def position(self) -> Position:
        """The entry that it ends with."""
        return Position(self.index, self.term)


class Digest:
    """The digest of a snapshot, part by part."""

    def __init__(self, position: Position, configuration: bytes) -> None:
        self._hash = hashlib.sha256(struct.pack("<QQI", *position, len(configuration)))
        self._hash.update(configuration)

    def add(self, part: bytes) -> None:
        """Takes the next part in."""
        self._hash.update(_LENGTH.pack(len(part)))
        self._hash.update(part)

    def value(self) -> bytes:
        """The digest so far."""
        return self._hash.digest()


class SnapshotReader:
    """An open snapshot. Every part is checked when it is read."""

    def __init__(self, file: File, seal: Seal) -> None:
        self._file = file
        size = file.size()
        position, self._cipher = self._read_header(seal)
        trailer = self._read_trailer(size)
        total, digest, configuration_bytes = _TRAILER.unpack_from(trailer)
        table = _TRAILER.size + configuration_bytes
        lengths = [length for (length,) in _LENGTH.iter_unpack(trailer[table:])]
        self._starts = [_HEADER_BYTES]
        for length in lengths:
            self._starts.append(self._starts[-1] + length + TAG_BYTES)
        if self._starts[-1] + len(trailer) + TAG_BYTES + _END_BYTES != size:
            raise self._damage(size, "its parts do not add up to its size")
        self.meta = SnapshotMeta(
            index=position.index,
            term=position.term,
            configuration=trailer[_TRAILER.size : table],
            parts=len(lengths),
            size_bytes=total,
            digest=digest,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _k: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None
    ) -> None:
        self.close()

    def part(self, number: int) -> bytes:
        """The part of that number (from 0).

        Raises:
            IndexError: it has no such part.
            SnapshotDamagedError: it is not what was written.
            OSError: the machine refuses.
        """
        if not 0 <= number < self.meta.parts:
            raise IndexError(f"part {number} of {self.meta.parts}")
        start, end = self._starts[number], self._starts[number + 1]
        return self._open_sealed(number, self._file.read(start, end - start), start)

    def __iter__(self) -> Iterator[bytes]:
        """All parts; at the end, whether it was the whole.

        Raises:
            SnapshotDamagedError: it is not what was written.
            OSError: the machine refuses.
        """
        digest = Digest(self.meta.position, self.meta.configuration)
        for number in range(self.meta.parts):
            part = self.part(number)
            digest.add(part)
            yield part
        if digest.value() != self.meta.digest:
            raise self._damage(_HEADER_BYTES, "its parts do not fit its digest")

    def close(self) -> None:
        """Lets go of it."""
        self._file.close()

    def check_index(self, index: int) -> None:
        """Refuses a snapshot that stands under the name of another.

        Raises:
            SnapshotDamagedError: it is of another entry.
        """
        if self.meta.index != index:
            raise self._damage(0, f"it is of entry {self.meta.index}")

    def _damage(self, offset: int, what: str) -> SnapshotDamagedError:
        """What to say of it."""
        return SnapshotDamagedError(
            f"{self._file.name} is damaged at byte {offset}: {what}",
            hint="restore the file, or remove this manager from the swarm and let it join anew",
        )

    def _read_header(self, seal: Seal) -> tuple[Position, Cipher]:
        packed = self._file.read(0, _HEADER_BYTES)
        if not packed.startswith(_MAGIC):
            raise self._damage(0, "it is no snapshot of this version of swarmd")
        if len(packed) < _HEADER_BYTES or packed != with_checksum(packed[:-_CHECKSUM_BYTES]):
            raise self._damage(0, "its header does not fit its checksum")
        start = packed[: _HEADER.size]
        _, index, term, salt = _HEADER.unpack(start)
        cipher = seal.opening(salt, start, packed[_HEADER.size : -_CHECKSUM_BYTES])
        if cipher is None:
            raise wrong_key(self._file.name)
        return Position(index, term), cipher

    def _read_trailer(self, size: int) -> bytes:
        place = max(size - _END_BYTES, 0)
        end = self._file.read(place, _END_BYTES)
        length_and_checksum = end[: -len(_END_MAGIC)]
        (length,) = _LENGTH.unpack_from(end) if len(end) == _END_BYTES else (0,)
        fits = length_and_checksum == with_checksum(end[: _LENGTH.size])
        if not fits or not end.endswith(_END_MAGIC) or not length <= _TRAILER_BYTES_MAX:
            raise self._damage(place, "it ends too soon")
        start = place - length
        if start < _HEADER_BYTES:
            raise self._damage(place, "it ends too soon")
        return self._open_sealed(_TRAILER_NUMBER, self._file.read(start, length), start)

    def _open_sealed(self, number: int, sealed: bytes, offset: int) -> bytes:
        try:
            return self._cipher.open(number, sealed)
        except SealBrokenError as error:
            raise self._damage(offset, "what stands there is not what was written") from error


def pack_snapshot_header(position: Position, seal: Seal) -> tuple[bytes, Cipher]:
    """The first bytes of a snapshot, and what seals its parts."""
    salt = seal.new_salt()
    start = _HEADER.pack(_MAGIC, *position, salt)
    cipher = seal.cipher(salt, start)
    return with_checksum(start + cipher.proof), cipher


def pack_snapshot_end(meta: SnapshotMeta, lengths: list[int], cipher: Cipher) -> bytes:
    """The last bytes of a snapshot of parts of such lengths."""
    head = _TRAILER.pack(meta.size_bytes, meta.digest, len(meta.configuration))
    trailer = head + meta.configuration + b"".join(map(_LENGTH.pack, lengths))
    sealed = cipher.seal(_TRAILER_NUMBER, trailer)
    return sealed + with_checksum(_LENGTH.pack(len(sealed))) + _END_MAGIC
