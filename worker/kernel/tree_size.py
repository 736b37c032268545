"""How much lies in a directory."""

import os
import stat
from contextlib import suppress

from worker.kernel.tree_walk import walk


def tree_size(path: str) -> int:
    """Bytes of the files below a directory; one that has several names counts once, other mounts do not.

    Raises:
        OSError: the disk said no.
    """
    root = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    seen: set[tuple[int, int]] = set()
    total = 0
    try:
        for _, directory, names in walk(root):
            for name in names:
                with suppress(FileNotFoundError):
                    found = os.stat(name, dir_fd=directory, follow_symlinks=False)
                    total += _bytes_of(found, seen)
    finally:
        os.close(root)
    return total


def _bytes_of(found: os.stat_result, seen: set[tuple[int, int]]) -> int:
    if not stat.S_ISREG(found.st_mode):
        return 0
    if found.st_nlink > 1:
        key = (found.st_dev, found.st_ino)
        if key in seen:
            return 0
        seen.add(key)
    return found.st_size
