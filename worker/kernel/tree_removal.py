"""Removing a tree that others may change meanwhile, wherever it lies."""

import os
from contextlib import suppress

from worker.kernel.tree_walk import open_beneath, walk

_DIRECTORY = os.O_PATH | os.O_DIRECTORY


def remove_tree_beneath(parent: int, name: bytes) -> None:
    """Removes a directory with all that is in it. No link is followed, and no other mount is entered.

    Raises:
        OSError: something was put there meanwhile, is mounted there, or the disk said no; a part may be gone.
    """
    top = os.open(name, _DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        found = []
        for path, directory, names in walk(top):
            found.append(path)
            for one in names:
                with suppress(IsADirectoryError, FileNotFoundError):
                    os.unlink(one, dir_fd=directory)
        for path in reversed(found[1:]):
            above, _, last = path.rpartition(b"/")
            holder = open_beneath(top, above, _DIRECTORY)
            try:
                os.rmdir(last, dir_fd=holder)
            finally:
                os.close(holder)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=parent)
