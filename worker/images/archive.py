"""Tar archives read with suspicion: forward only, every read bounded, an end that is a real end."""

import bz2
import gzip
import hashlib
import importlib
import io
import lzma
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

from typing_extensions import override

from common.errors import InvalidInputError
from worker.images.limits import EXTRACT_CHUNK_BYTES, HEADER_BYTES_MAX

_BLOCK = 512
_ZEROS = bytes(_BLOCK)
_MAGIC_BYTES = 6


class BadArchiveError(InvalidInputError):
    """An archive that is damaged, dangerous or too large; nothing of it was kept."""


@contextmanager
def bad_archive() -> Iterator[None]:
    """Turns what decompressors and tar readers raise on damaged bytes into ``BadArchiveError``."""
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise BadArchiveError(f"invalid archive: {error}") from error
    except (ValueError, OverflowError, RecursionError) as error:
        raise BadArchiveError(f"invalid archive: malformed entry ({error})") from error


class Window(io.RawIOBase):
    """A part of a file, as a file of its own."""

    def __init__(self, file: IO[bytes], offset: int, size: int) -> None:
        self._file, self._offset, self._size = file, offset, size
        self._position = 0

    @override
    def readable(self) -> bool:
        return True

    @override
    def seekable(self) -> bool:
        return True

    @override
    def tell(self) -> int:
        return self._position

    @override
    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    @override
    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._offset + self._position)
        wanted = min(len(buffer), max(0, self._size - self._position))
        data = self._file.read(wanted)
        if len(data) < wanted:
            raise BadArchiveError("invalid archive: unexpected end of data")
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


class Meter:
    """What a tar reader reads from: never backwards, never much at once, counted and, if wanted, hashed."""

    def __init__(self, source: IO[bytes], *, bytes_max: int, hashed: bool) -> None:
        self._source, self._bytes_max = source, bytes_max
        self._hash = hashlib.sha256() if hashed else None
        self._position = 0
        self._last = b""

    def read(self, size: int) -> bytes:
        """Exactly ``size`` bytes, or fewer at the end."""
        if not 0 <= size <= HEADER_BYTES_MAX:
            raise BadArchiveError(f"invalid archive: a header of {size} bytes")
        data = self._source.read(size)
        while len(data) < size and (more := self._source.read(size - len(data))):
            data += more
        self._position += len(data)
        if self._position > self._bytes_max:
            raise BadArchiveError(f"the archive holds more than {self._bytes_max} bytes")
        if self._hash is not None:
            self._hash.update(data)
        self._last = data
        return data

    def copy_to(self, file: int, size: int) -> None:
        """Writes the next ``size`` bytes into an open file.

        Raises:
            BadArchiveError: there are fewer.
        """
        while size:
            chunk = self.read(min(size, EXTRACT_CHUNK_BYTES))
            if not chunk:
                raise BadArchiveError("invalid archive: unexpected end of data")
            size -= len(chunk)
            while chunk:
                chunk = chunk[os.write(file, chunk) :]

    def tell(self) -> int:
        """How much was read."""
        return self._position

    def seek(self, position: int) -> int:
        """Goes on to ``position``."""
        if position < self._position:
            raise BadArchiveError("invalid archive: an entry of negative size")
        if self._hash is None and self._source.seekable():
            self._source.seek(position)
            self._position = position
            return position
        while self._position < position:
            if not self.read(min(position - self._position, HEADER_BYTES_MAX)):
                break
        return self._position

    def check_end(self, *, marked: bool) -> None:
        """Checks that the tar reader stopped at the end and not at a damaged header.

        ``marked`` insists on the zero block that closes a tar: without a digest nothing else tells a complete archive.

        Raises:
            BadArchiveError: it did not.
        """
        if self._last == _ZEROS or (self._last == b"" and not marked):
            return
        what = "unexpected end of data" if len(self._last) < _BLOCK else "damaged header"
        raise BadArchiveError(f"invalid archive: {what}")

    def finish(self) -> str:
        """Reads to the end of the source; gives the digest of all of it ("" if it was not hashed)."""
        while self.read(HEADER_BYTES_MAX):
            pass
        return f"sha256:{self._hash.hexdigest()}" if self._hash is not None else ""


def entries(meter: Meter, *, entries_max: int) -> Iterator[tarfile.TarInfo]:
    """The entries of a tar, in order; memory stays flat however many there are.

    Raises:
        BadArchiveError: damaged, or more than ``entries_max``.
    """
    with bad_archive():
        archive = tarfile.TarFile(
            fileobj=cast("IO[bytes]", meter),
            mode="r",
            encoding="utf-8",
            errors="surrogateescape",
        )
        count = 0
        while (member := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # tarfile would keep every header
            count += 1
            if count > entries_max:
                raise BadArchiveError(f"the archive has more than {entries_max} entries")
            if member.size < 0 or member.issparse():
                raise BadArchiveError(
                    f"invalid archive: {member.name!r} is a sparse file or has a negative size"
                )
            yield member


def plain(source: IO[bytes]) -> IO[bytes]:
    """The uncompressed content of a seekable file, whatever compressed it (nothing, gzip, bzip2, xz, zstd).

    Raises:
        BadArchiveError: compressed with something that this installation cannot read.
    """
    magic = source.read(_MAGIC_BYTES)
    source.seek(0)
    for prefix, opener in _OPENERS.items():
        if magic.startswith(prefix):
            return opener(source)
    return source


def is_compressed(magic: bytes) -> bool:
    """Whether these first bytes are those of a compressed file."""
    return magic.startswith(tuple(_OPENERS))


def _open_zstd(source: IO[bytes]) -> IO[bytes]:
    for module, opener in (("compression.zstd", "open"), ("zstandard", "open"), ("pyzstd", "open")):
        try:
            found: Callable[..., IO[bytes]] = getattr(importlib.import_module(module), opener)
        except ImportError:
            continue
        return found(source, "rb")
    raise BadArchiveError(
        "the archive is compressed with zstd, which this installation cannot read",
        hint="install the Python package zstandard, or compress with gzip",
    )


def _open_xz(source: IO[bytes]) -> IO[bytes]:
    return cast("IO[bytes]", lzma.LZMAFile(source))


_OPENERS: dict[bytes, Callable[[IO[bytes]], IO[bytes]]] = {
    b"\x1f\x8b": lambda source: cast("IO[bytes]", gzip.GzipFile(fileobj=source, mode="rb")),
    b"BZh": lambda source: cast("IO[bytes]", bz2.BZ2File(source, "rb")),
    b"\xfd7zXZ\x00": _open_xz,
    b"\x28\xb5\x2f\xfd": _open_zstd,
}
