"""Removing directory trees of any depth."""

import errno
import os
import stat
from collections.abc import Iterator
from itertools import count
from pathlib import Path

_TAKEN = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR})


def remove_tree(path: str) -> None:
    """Removes a file or a directory with all that is in it; what is gone already is fine.

    Directories are moved up as they are found, so that no depth is too deep.

    Raises:
        OSError: something could not be removed; the rest of the tree may be gone.
    """
    root = Path(path)
    try:
        is_directory = stat.S_ISDIR(root.lstat().st_mode)
    except FileNotFoundError:
        return
    if not is_directory:
        root.unlink()
        return
    numbers = count(1)
    while directories := _remove_files(root):
        for directory in directories:
            for inner in _remove_files(directory):
                _move_up(inner, root, numbers)
            directory.rmdir()
    root.rmdir()


def _move_up(directory: Path, root: Path, numbers: Iterator[int]) -> None:
    while True:
        try:
            directory.rename(root / f".removing-{next(numbers)}")
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
        else:
            return


def _remove_files(directory: Path) -> list[Path]:
    """Removes what is not a directory; gives the directories."""
    left = []
    with os.scandir(directory) as found:
        for entry in list(found):
            if entry.is_dir(follow_symlinks=False):
                left.append(Path(entry.path))
            else:
                Path(entry.path).unlink()
    return left
