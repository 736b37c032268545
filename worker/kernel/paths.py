"""Paths that cannot leave a directory (openat2), and flushing what was written below one (syncfs)."""

import ctypes
import errno
import os

_OPENAT2 = 437  # the same number on every architecture
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_BENEATH = 0x08
_RESOLVE_IN_ROOT = 0x10
NO_MOUNTS = 0x01
"""No other file system is entered on the way (RESOLVE_NO_XDEV)."""
NO_LINKS = 0x04
"""No symbolic link is followed (RESOLVE_NO_SYMLINKS)."""

TRIES_MAX = 64
"""How often a path is walked again when the kernel cannot tell whether it was led astray."""

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
    return _open(root, path, flags, _RESOLVE_IN_ROOT | refuse)


def open_beneath_root(root: int, path: bytes, flags: int) -> int:
    """Opens ``path`` below the directory ``root``; what would lead out of it, were it a link, is refused (EXDEV).

    Raises:
        OSError: as openat2(2) says.
    """
    return _open(root, path, flags, _RESOLVE_BENEATH)


def _open(root: int, path: bytes, flags: int, resolve: int) -> int:
    how = _OpenHow(flags | os.O_CLOEXEC, 0, resolve | _RESOLVE_NO_MAGICLINKS)
    number = errno.EAGAIN
    for _ in range(TRIES_MAX):
        opened: int = _libc.syscall(
            ctypes.c_long(_OPENAT2),
            ctypes.c_int(root),
            ctypes.c_char_p(path or b"."),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if opened >= 0:
            return opened
        number = ctypes.get_errno()
        if number != errno.EAGAIN:  # something was renamed while the kernel walked over ".."
            break
    raise OSError(number, os.strerror(number), os.fsdecode(path))


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
