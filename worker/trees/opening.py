"""What a path of a container leads to, found without ever leaving the container's tree."""

import errno
import os
import posixpath
import stat
from dataclasses import dataclass
from pathlib import Path

from common.errors import InvalidInputError, NotFoundError
from worker.kernel.filesystems import is_kernels_own
from worker.kernel.paths import open_in_root
from worker.trees.path import PathStat, TreePath

_DIRECTORY = os.O_PATH | os.O_DIRECTORY
_HELD = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR})
FILE_BYTES_MAX = 1024 * 1024
"""Of /etc/passwd and /etc/group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A thing of the tree, held by a descriptor (O_PATH)."""

    descriptor: int
    stat: PathStat
    status: os.stat_result

    @property
    def is_directory(self) -> bool:
        """Whether it is one."""
        return stat.S_ISDIR(self.status.st_mode)


def find(root: int, path: TreePath, container: str) -> Found:
    """Opens what a path leads to.

    Raises:
        NotFoundError: there is nothing.
        InvalidInputError: it leads in circles, or over something that is no directory.
    """
    try:
        directory = open_in_root(root, os.fsencode(path.directory), _DIRECTORY)
        try:
            descriptor = os.open(path.name, _HELD, dir_fd=directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise _said(error, path, container) from error
    if is_kernels_own(descriptor):
        os.close(descriptor)
        raise _absent(path, container)
    status = os.fstat(descriptor)
    target = _target(root, path, descriptor) if stat.S_ISLNK(status.st_mode) else ""
    shown = PathStat(
        name=path.shown,
        size=status.st_size,
        mode=status.st_mode,
        modified=status.st_mtime,
        link_target=target,
    )
    return Found(descriptor=descriptor, stat=shown, status=status)


def find_directory(root: int, path: TreePath, container: str) -> int:
    """Opens the directory that a path leads to, links followed.

    Raises:
        NotFoundError: there is nothing.
        InvalidInputError: it is no directory.
    """
    try:
        found = open_in_root(root, os.fsencode(path.whole), os.O_PATH)
    except OSError as error:
        raise _said(error, path, container) from error
    if is_kernels_own(found):
        os.close(found)
        raise _absent(path, container)
    if not stat.S_ISDIR(os.fstat(found).st_mode):
        os.close(found)
        raise InvalidInputError("extraction point is not a directory")
    return found


def read_text(root: int, path: str) -> str:
    """A small text file, "" when there is no such regular file."""
    try:
        held = open_in_root(root, os.fsencode(path), os.O_PATH)
    except OSError:
        return ""
    try:
        if not stat.S_ISREG(os.fstat(held).st_mode):
            return ""
        with open(f"/proc/self/fd/{held}", "rb") as file:  # noqa: PTH123 - the very file that was looked at
            return file.read(FILE_BYTES_MAX).decode(errors="surrogateescape")
    finally:
        os.close(held)


def _target(root: int, path: TreePath, link: int) -> str:
    """Where a link leads to in the container, or would if it were there."""
    try:
        followed = open_in_root(root, os.fsencode(path.whole), os.O_PATH)
    except OSError:
        written = os.readlink("", dir_fd=link)
        return posixpath.normpath(posixpath.join(path.directory, written))
    try:
        place = str(Path(f"/proc/self/fd/{followed}").readlink())
        above = str(Path(f"/proc/self/fd/{root}").readlink())
    finally:
        os.close(followed)
    return posixpath.join("/", place.removeprefix(above).lstrip("/"))


def _absent(path: TreePath, container: str) -> NotFoundError:
    return NotFoundError(f"Could not find the file {path.whole} in container {container}")


def _said(error: OSError, path: TreePath, container: str) -> Exception:
    if error.errno == errno.ENOTDIR and path.name == ".":
        return InvalidInputError(f"{path.directory}: not a directory")
    if error.errno in _ABSENT:
        return _absent(path, container)
    if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
        return InvalidInputError(f"{path.whole}: {os.strerror(error.errno).lower()}")
    return error
