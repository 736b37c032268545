"""Files that are replaced whole: whoever reads, after any crash, finds the old or the new one."""

import os
from pathlib import Path

NEW_SUFFIX = ".new"
"""What a replacement is called until it is complete; one that is left over means nothing."""


def replace_durably(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Writes a file and its name to the disk before it returns (fsync of the file, rename, fsync of the directory).

    Raises:
        OSError: the disk is full or failed; the old file stands.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(path.name + NEW_SUFFIX)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - of a descriptor, for its mode
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    fresh.replace(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Makes the names in a directory durable: what was created, renamed or removed in it."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
