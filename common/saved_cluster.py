"""The file that holds a saved cluster: what ``swarmctl swarm snapshot`` saves, restores and looks into.

    magic, format's number │ head │ part … │ end │ SHA-256 of all before it

Head and parts each follow their length (4 bytes, big-endian); the end is a length of zero. The parts are those of a
snapshot of the managers' state (``manager.store.snapshot``). They hold every secret and the key of the cluster's
certificate authority, in clear: whoever reads the file can become a manager.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO

from common.codec import CodecError, decode, encode
from common.errors import InvalidInputError
from common.version import VERSION

FORMAT = 1
PART_BYTES_MAX = 1024 * 1024
"""Bytes of the head or a part."""
_MAGIC = b"swarmd saved cluster "
_LENGTH_BYTES = 4
_DIGEST_BYTES = 32


class SavedClusterError(InvalidInputError):
    """The file is none of a saved cluster, is damaged, or of another version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedHead:
    """What the file tells about itself."""

    cluster_id: str
    index: int
    """Raft index of the last entry in it."""
    saved_at: float
    """Seconds since the epoch."""
    written_by: str = VERSION
    """Version of swarmd."""
    objects: Mapping[str, int] = field(default_factory=dict)
    """Number of objects by table."""


def pack_saved(head: SavedHead, parts: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes of the file, piece by piece."""
    digest = hashlib.sha256()
    for piece in _pieces(head, parts):
        digest.update(piece)
        yield piece
    yield digest.digest()


def _pieces(head: SavedHead, parts: Iterable[bytes]) -> Iterator[bytes]:
    yield _MAGIC + bytes([FORMAT]) + _framed(encode(head))
    for part in parts:
        yield _framed(part)
    yield _framed(b"")


def _framed(data: bytes) -> bytes:
    return len(data).to_bytes(_LENGTH_BYTES, "big") + data


class SavedCluster:
    """Reads such a file, from wherever it stands now to its end, once."""

    def __init__(self, file: IO[bytes]) -> None:
        """Reads the head.

        Raises:
            SavedClusterError: it is no such file.
        """
        self._file = file
        self._digest = hashlib.sha256()
        self.bytes = 0
        """Bytes read so far."""
        _check_format(self._read(len(_MAGIC) + 1))
        try:
            self.head = decode(SavedHead, self._frame())
        except CodecError as error:
            raise SavedClusterError(f"the saved cluster is damaged: {error}") from error

    def parts(self) -> Iterator[bytes]:
        """The parts; the digest is compared behind the last.

        Raises:
            SavedClusterError: the file is damaged or incomplete.
        """
        while part := self._frame():
            yield part
        expected = self._digest.digest()
        if self._read(_DIGEST_BYTES) != expected:
            raise SavedClusterError("the saved cluster is damaged: its digest is another")
        if self._file.read(1):
            raise SavedClusterError("the saved cluster is damaged: something follows its end")

    def check(self) -> None:
        """Reads to the end.

        Raises:
            SavedClusterError: the file is damaged or incomplete.
        """
        for _ in self.parts():
            pass

    def _frame(self) -> bytes:
        start = self._read(_LENGTH_BYTES)
        length = int.from_bytes(start, "big")
        if len(start) < _LENGTH_BYTES:
            raise SavedClusterError("the saved cluster is incomplete: its end is missing")
        if length > PART_BYTES_MAX:
            raise SavedClusterError("the saved cluster is damaged: a length in it cannot be")
        data = self._read(length)
        if len(data) < length:
            raise SavedClusterError("the saved cluster is incomplete: its end is missing")
        return data

    def _read(self, count: int) -> bytes:
        data = self._file.read(count)
        self._digest.update(data)
        self.bytes += len(data)
        return data


def _check_format(start: bytes) -> None:
    if start[: len(_MAGIC)] != _MAGIC or len(start) == len(_MAGIC):
        raise SavedClusterError("this is no saved cluster")
    if start[-1] != FORMAT:
        raise SavedClusterError(
            f"the saved cluster is of format {start[-1]}, and this version ({VERSION}) reads format {FORMAT}",
            hint="use the version that wrote it",
        )
