"""Containers' records on disk: one directory each, whole or not there."""

import errno
import logging
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from common.codec import CodecError, decode, encode
from common.errors import SystemFailureError
from common.files import sync_directory
from worker.containers.record import Container
from worker.kernel.trees import remove_tree

log = logging.getLogger("swarmd.containers")

_RECORD = "record"
_NEW = "record.new"
_GONE = ".gone-"
FILE_BYTES_MAX: Final = 256 * 1024
"""A longer file of one record's changes is replaced by one that holds the latest only."""
_HEAD: Final = struct.Struct(">II")


class Records:
    """The directory of all containers.

    A record is appended to the container's file as length, checksum and bytes, and the latest whole one counts: a
    file made anew per change costs ext4 a search past every inode that was deleted within five seconds. It is not
    flushed unless somebody asks for it (``flush``): after a crash of swarmd the kernel still has it, and after a crash
    of the machine most containers are over anyway. A directory without a whole record is a container half made.
    """

    def __init__(self, root: str) -> None:
        self._root = Path(root)

    def directory(self, container_id: str) -> Path:
        """Everything that a container keeps across reboots."""
        return self._root / container_id

    def open(self) -> list[Container]:
        """All records; what is half made or half gone is removed."""
        self._root.mkdir(parents=True, exist_ok=True, mode=0o710)
        found = []
        for path in sorted(self._root.iterdir()):
            container = self._read(path)
            if container is None:
                log.warning("removing a container half made", extra={"container": path.name})
                remove_tree(str(path))
            else:
                found.append(container)
        return found

    def _read(self, path: Path) -> Container | None:
        if path.name.startswith(_GONE):
            return None
        try:
            data = (path / _RECORD).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        container, sound = _latest(data)
        if container is None or container.id != path.name:
            return None
        if sound < len(data):
            os.truncate(path / _RECORD, sound)
        return container

    def make(self, container_id: str) -> Path:
        """The directory of a new container, with room for its files."""
        path = self.directory(container_id)
        path.mkdir(mode=0o710)
        for name in ("upper", "work"):
            (path / name).mkdir()
            (path / name).chmod(0o755)  # the upper one is the container's root directory
        return path

    def write(self, container: Container) -> None:
        """Records a container as it stands now.

        Raises:
            SystemFailureError: the disk said no; the old record stands.
        """
        path = self.directory(container.id) / _RECORD
        data = encode(container)
        framed = _HEAD.pack(len(data), zlib.crc32(data)) + data
        with disk_errors():
            if _append(path, framed) > FILE_BYTES_MAX:
                new = path.with_name(_NEW)
                new.write_bytes(framed)
                new.replace(path)

    def flush(self, container_id: str) -> None:
        """Makes what is recorded of a container outlive a power failure.

        Raises:
            SystemFailureError: the disk said no; nobody knows what it has.
        """
        path = self.directory(container_id)
        with disk_errors():
            descriptor = os.open(path / _RECORD, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            sync_directory(path)
            sync_directory(self._root)

    def remove(self, container_id: str, *, is_lasting: bool = False) -> None:
        """Takes a container's directory away; once it has begun it is gone for whoever looks.

        With ``is_lasting`` it is gone also after a power failure.

        Raises:
            OSError: the disk said no.
        """
        path, gone = self.directory(container_id), self._root / f"{_GONE}{container_id}"
        if path.exists():
            remove_tree(str(gone))
            path.rename(gone)
            if is_lasting:
                sync_directory(self._root)
        remove_tree(str(gone))


def _latest(data: bytes) -> tuple[Container | None, int]:
    """The last whole record, and where it ends. What a power failure left of the last ones may be zeros."""
    found, place = None, 0
    while place + _HEAD.size <= len(data):
        length, checksum = _HEAD.unpack_from(data, place)
        start = place + _HEAD.size
        body = data[start : start + length]
        if not length or len(body) != length or zlib.crc32(body) != checksum:
            break
        found, place = body, start + length
    try:
        return (None if found is None else decode(Container, found)), place
    except CodecError:
        return None, place


def _append(path: Path, data: bytes) -> int:
    """Appends all of it or nothing; gives the file's size."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        if os.write(descriptor, data) != len(data):
            os.ftruncate(descriptor, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return size + len(data)
    finally:
        os.close(descriptor)


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turns the disk's refusals into ``SystemFailureError``."""
    try:
        yield
    except OSError as error:
        raise SystemFailureError(f"the disk of containers: {error}") from error
