"""The directory under a member's log and snapshots: files written, made durable, renamed, removed, locked."""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from common.errors import SystemFailureError
from common.files import sync_directory

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700
NEW_SUFFIX = ".new"
"""What a file is called until it is complete and durable; one that is left over means nothing."""


class File(Protocol):
    """An open file. Every method may block, and raises OSError when the machine refuses."""

    name: str
    """Where it is, for people."""

    def size(self) -> int:
        """How many bytes are in it."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """That many bytes from there on; fewer at its end."""
        ...

    def write(self, data: bytes, offset: int) -> None:
        """Puts bytes there. After an error any part of them may stand there."""
        ...

    def allocate(self, size: int) -> None:
        """Makes it that long, filled up with zeros, so that less has to be told to the disk later. A wish only."""
        ...

    def truncate(self, size: int) -> None:
        """Cuts everything behind ``size``."""
        ...

    def sync(self) -> None:
        """Returns when all that was written or cut is durable. Says nothing of the file's name."""
        ...

    def close(self) -> None:
        """Lets go of it."""
        ...


class Directory(Protocol):
    """A directory of files, without others below. Every method may block, and raises OSError."""

    name: str
    """Where it is, for people."""

    def list(self) -> list[str]:
        """The names in it, in any order."""
        ...

    def create(self, name: str) -> File:
        """An empty file of that name; one that is there is emptied."""
        ...

    def open(self, name: str) -> File:
        """The file of that name."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Gives a file another name, in the place of any that has it."""
        ...

    def remove(self, name: str) -> None:
        """Takes a name away; who has the file open may go on reading."""
        ...

    def sync(self) -> None:
        """Returns when all that was created, renamed and removed is durable. Says nothing of what is in the files."""
        ...

    def close(self) -> None:
        """Lets go of it, and of the lock against other processes."""
        ...


_NOT_AHEAD = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_P = ParamSpec("_P")
_R = TypeVar("_R")


def _tells_where(
    method: "Callable[Concatenate[DiskFile, _P], _R]",
) -> "Callable[Concatenate[DiskFile, _P], _R]":
    """Has errors say which file it was."""

    def telling(self: "DiskFile", /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return method(self, *args, **kwargs)
        except OSError as error:
            error.filename = self.name
            raise

    return telling


class DiskFile:
    """A ``File`` of the machine."""

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor, self.name = descriptor, name

    @_tells_where
    def size(self) -> int:
        """How many bytes are in it."""
        return os.fstat(self._descriptor).st_size

    @_tells_where
    def read(self, offset: int, size: int) -> bytes:
        """That many bytes from there on; fewer at its end."""
        parts: list[bytes] = []
        while size > 0 and (part := os.pread(self._descriptor, size, offset)):
            parts.append(part)
            offset += len(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    @_tells_where
    def write(self, data: bytes, offset: int) -> None:
        """Puts bytes there."""
        rest = memoryview(data)
        while rest:
            written = os.pwrite(self._descriptor, rest, offset)
            rest = rest[written:]
            offset += written

    @_tells_where
    def allocate(self, size: int) -> None:
        """Makes it that long where the file system can and has the room."""
        try:
            os.posix_fallocate(self._descriptor, 0, size)
        except OSError as error:
            if error.errno not in _NOT_AHEAD:  # the write itself will tell
                raise

    @_tells_where
    def truncate(self, size: int) -> None:
        """Cuts everything behind ``size``."""
        os.ftruncate(self._descriptor, size)

    @_tells_where
    def sync(self) -> None:
        """Returns when all that was written or cut is durable."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Lets go of it."""
        os.close(self._descriptor)


class DiskDirectory:
    """A ``Directory`` of the machine, for this process alone."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor, self._path, self.name = descriptor, path, str(path)

    def list(self) -> list[str]:
        """The names in it."""
        return [found.name for found in self._path.iterdir()]

    def create(self, name: str) -> DiskFile:
        """An empty file of that name."""
        return self._open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC)

    def open(self, name: str) -> DiskFile:
        """The file of that name."""
        return self._open(name, os.O_RDWR)

    def rename(self, old: str, new: str) -> None:
        """Gives a file another name, in the place of any that has it."""
        (self._path / old).replace(self._path / new)

    def remove(self, name: str) -> None:
        """Takes a name away."""
        (self._path / name).unlink()

    def sync(self) -> None:
        """Returns when all names are durable."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            error.filename = self.name
            raise

    def close(self) -> None:
        """Lets go of it, and of the lock."""
        os.close(self._descriptor)

    def _open(self, name: str, flags: int) -> DiskFile:
        path = self._path / name
        return DiskFile(os.open(path, flags | os.O_CLOEXEC, FILE_MODE), str(path))


def open_directory(path: Path) -> DiskDirectory:
    """Opens a directory for this process alone; makes it, durably, when it is not there.

    Raises:
        SystemFailureError: another process has it open, or the machine refuses.
    """
    with told(f"open {path}"):
        _make(path)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise SystemFailureError(
            f"{path} is in use by another process", hint="is another swarmd running?"
        ) from error
    return DiskDirectory(descriptor, path)


@contextmanager
def told(action: str) -> Iterator[None]:
    """Makes of an OSError the sentence that this could not be done.

    Raises:
        SystemFailureError: in the place of the OSError.
    """
    try:
        yield
    except OSError as error:
        place = (
            f"{error.filename}: " if error.filename and str(error.filename) not in action else ""
        )
        raise SystemFailureError(f"cannot {action}: {place}{error.strerror or error}") from error


def _make(path: Path) -> None:
    """Makes a directory and what is missing above it, durably."""
    if not path.is_dir():
        _make(path.parent)
        path.mkdir(mode=DIRECTORY_MODE)
        sync_directory(path.parent)
