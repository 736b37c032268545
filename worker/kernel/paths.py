"""Paths that cannot leave a directory (openat2), and flushing what was written below one (syncfs)."""

import ctypes
import os

from worker.kernel import syscalls

_RESOLVE_BENEATH = 0x08
NO_MOUNTS = 0x01
"""No other file system is entered on the way (RESOLVE_NO_XDEV)."""
NO_LINKS = 0x04
"""No symbolic link is followed (RESOLVE_NO_SYMLINKS)."""

_libc = ctypes.CDLL(None, use_errno=True)


def open_in_root(root: int, path: bytes, flags: int, *, refuse: int = 0) -> int:
    """Opens ``path`` as if the directory ``root`` were ``/``: neither ``..`` nor a symbolic link leads out of it.

    ``refuse`` is ``NO_MOUNTS``, ``NO_LINKS`` or both.

    Raises:
        OSError: as openat2(2) says.
    """
    return _open(root, path, flags, syscalls.RESOLVE_IN_ROOT | refuse)


def open_beneath_root(root: int, path: bytes, flags: int) -> int:
    """Opens ``path`` below the directory ``root``; what would lead out of it, were it a link, is refused (EXDEV).

    Raises:
        OSError: as openat2(2) says.
    """
    return _open(root, path, flags, _RESOLVE_BENEATH)


def _open(root: int, path: bytes, flags: int, resolve: int) -> int:
    where = os.fsdecode(path or b".")
    return syscalls.openat2(root, where, flags, resolve | syscalls.RESOLVE_NO_MAGICLINKS)


def sync_filesystem(path: str) -> None:
    """Flushes the file system that holds ``path`` to its disk.

    Raises:
        OSError: the disk said no.
    """
    held = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if _libc.syncfs(ctypes.c_int(held)) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(held)
