"""How much lies in a directory."""

import os
import stat
from contextlib import suppress

from worker.kernel.tree_walk import DEPTH_MAX, GONE, NAMES_MAX, open_beneath

UNKNOWN = -1
"""What Docker says of a size that nobody can tell."""


def tree_size(path: str) -> int:
    """Bytes of the files below a directory; one that has several names counts once, other mounts do not.

    A tree too deep or too wide to be walked is of ``UNKNOWN`` size: whoever makes one keeps nobody from the rest.

    Raises:
        OSError: the disk said no.
    """
    root = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _size_below(root)
    finally:
        os.close(root)


def _size_below(root: int) -> int:
    """Keeps names of directories only, so that little is in memory however many files there are."""
    seen: set[tuple[int, int]] = set()
    total, waiting = 0, [b""]
    while waiting:
        path = waiting.pop()
        if path.count(b"/") >= DEPTH_MAX or max(len(waiting), len(seen)) > NAMES_MAX:
            return UNKNOWN
        try:
            directory = open_beneath(root, path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            if error.errno not in GONE:
                raise
            continue
        try:
            with os.scandir(directory) as found:
                for one in found:
                    if one.is_dir(follow_symlinks=False):
                        name = os.fsencode(one.name)
                        waiting.append(path + b"/" + name if path else name)
                        continue
                    with suppress(FileNotFoundError):
                        total += _bytes_of(one.stat(follow_symlinks=False), seen)
        finally:
            os.close(directory)
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
