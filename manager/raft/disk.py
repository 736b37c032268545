"""The one file under a journal: appended to, made durable, cut, and locked against a second process."""

import fcntl
import os
from pathlib import Path
from typing import Protocol

from common.errors import SystemFailureError
from common.files import replace_durably, sync_directory

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700


class File(Protocol):
    """What a journal needs of a file. Every method may block, and raises OSError when the machine refuses."""

    name: str

    def read(self) -> bytes:
        """Everything in it."""
        ...

    def append(self, data: bytes) -> None:
        """Adds at the end. After an error any part of ``data`` may stand there."""
        ...

    def sync(self) -> None:
        """Returns when all that was appended or cut is durable."""
        ...

    def truncate(self, size: int) -> None:
        """Cuts everything behind ``size``."""
        ...

    def close(self) -> None:
        """Lets go of it."""
        ...


class DiskFile:
    """A ``File`` of the machine."""

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor, self.name = descriptor, name

    def read(self) -> bytes:
        """Everything in it."""
        with open(self._descriptor, "rb", closefd=False) as reader:
            reader.seek(0)
            return reader.read()

    def append(self, data: bytes) -> None:
        """Adds at the end."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def sync(self) -> None:
        """Returns when all that was appended or cut is durable."""
        os.fdatasync(self._descriptor)

    def truncate(self, size: int) -> None:
        """Cuts everything behind ``size``."""
        os.ftruncate(self._descriptor, size)

    def close(self) -> None:
        """Lets go of it and of the lock."""
        os.close(self._descriptor)


def open_or_create(path: Path, header: bytes) -> DiskFile:
    """Opens a file for this process alone; a new one holds ``header``, and is never seen without it.

    Raises:
        SystemFailureError: another process has it open, or the machine refuses.
    """
    try:
        if not path.exists():
            _create(path, header)
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    except OSError as error:
        raise SystemFailureError(f"cannot open {path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise SystemFailureError(
            f"{path} is in use by another process", hint="is another swarmd running?"
        ) from error
    return DiskFile(descriptor, str(path))


def _create(path: Path, header: bytes) -> None:
    _make_directory(path.parent)
    replace_durably(path, header, mode=FILE_MODE)


def _make_directory(path: Path) -> None:
    """Makes a directory and what is missing above it, durably."""
    if not path.is_dir():
        _make_directory(path.parent)
        path.mkdir(mode=DIRECTORY_MODE)
        sync_directory(path.parent)
