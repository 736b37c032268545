"""Hides and freezes parts of a container's tree. Called by its first process, which has the tree as its root."""

import errno
import os
import stat

from worker.kernel import syscalls
from worker.kernel.syscalls import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_RDONLY,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
)

_ATTRIBUTES = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC
_OF_A_DEVICE = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC
_EMPTY = "size=0k,nr_inodes=2"


def mask(paths: "list[str]") -> None:
    """Puts /dev/null over files and an empty directory over directories; what is not there stays so.

    Before the user's mounts, while /dev/null is surely ours. All directories have one empty file system in common.
    """
    empty = -1
    for path in paths:
        fd = _open(path)
        if fd < 0:
            continue
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            tree = syscalls.open_tree("/dev/null", recursive=False)
            syscalls.set_mount(tree, attributes=_OF_A_DEVICE, recursive=False)
            syscalls.move_mount(tree, fd)
            os.close(tree)
        elif empty < 0:
            syscalls.mount(
                "tmpfs",
                f"/proc/self/fd/{fd}",
                "tmpfs",
                MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
                _EMPTY,
            )
            empty = _open(path)
        else:
            tree = syscalls.open_tree_of(empty, recursive=False)
            syscalls.move_mount(tree, fd)
            os.close(tree)
        os.close(fd)
    if empty >= 0:
        os.close(empty)


def freeze(paths: "list[str]") -> None:
    """Makes parts read-only, with all that is mounted there; what is not there stays so."""
    for path in paths:
        fd = _open(path)
        if fd < 0:
            continue
        tree = syscalls.open_tree_of(fd, recursive=True)
        syscalls.set_mount(tree, attributes=_ATTRIBUTES, recursive=True)
        syscalls.move_mount(tree, fd)
        os.close(tree)
        os.close(fd)


def _open(path: str) -> int:
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        return syscalls.openat2(root, path, os.O_PATH, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return -1
        raise
    finally:
        os.close(root)
