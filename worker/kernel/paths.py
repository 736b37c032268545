"""Paths that cannot leave a directory (openat2), and flushing what was written below one (syncfs)."""

import ctypes
import os

_OPENAT2 = 437  # the same number on every architecture
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_IN_ROOT = 0x10
NO_MOUNTS = 0x01
"""No other file system is entered on the way (RESOLVE_NO_XDEV)."""
NO_LINKS = 0x04
"""No symbolic link is followed (RESOLVE_NO_SYMLINKS)."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def open_in_root(root: int, path: bytes, flags: int, *, refuse: int = 0) -> int:
    """Opens ``path`` as if the directory ``root`` were ``/``: neither ``..`` nor a symbolic link leads out of it.

    ``refuse`` is ``NO_MOUNTS``, ``NO_LINKS`` or both.

    Raises:
        OSError: as openat2(2) says.
    """
    how = _OpenHow(flags | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS | refuse)
    opened: int = _libc.syscall(
        ctypes.c_long(_OPENAT2),
        ctypes.c_int(root),
        ctypes.c_char_p(path or b"."),
        ctypes.byref(how),
        ctypes.c_size_t(ctypes.sizeof(how)),
    )
    if opened < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(path))
    return opened


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
