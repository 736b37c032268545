"""Network namespaces by name: made by a thread that leaves and comes back, kept by a bind mount on a file.

No process is forked: that would cost twenty times as much, and a daemon with threads must not fork at all.
"""

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_libc.unshare.argtypes = (ctypes.c_int,)
_libc.setns.argtypes = (ctypes.c_int, ctypes.c_int)
_libc.mount.argtypes = (
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)

_CLONE_NEWNET = 0x40000000
_MS_BIND = 4096
_MNT_DETACH = 2
_THIS_THREADS = Path("/proc/thread-self/ns/net")


def open_own_namespace() -> int:
    """A descriptor of the calling thread's network namespace."""
    return os.open(_THIS_THREADS, os.O_RDONLY | os.O_CLOEXEC)


def enter_network_namespace(descriptor: int) -> None:
    """Moves the calling thread into a network namespace."""
    _check(_libc.setns(descriptor, _CLONE_NEWNET), "setns")


@contextmanager
def visiting(descriptor: int) -> Iterator[None]:
    """The calling thread is in that network namespace inside the ``with``."""
    home = open_own_namespace()
    try:
        enter_network_namespace(descriptor)
        try:
            yield
        finally:
            enter_network_namespace(home)
    finally:
        os.close(home)


def create_network_namespace(path: Path) -> None:
    """Makes a new network namespace that ``path`` stands for; the calling thread stays where it is."""
    path.touch(mode=0o600)
    home = open_own_namespace()
    try:
        _check(_libc.unshare(_CLONE_NEWNET), "unshare")
        try:
            source = os.fsencode(_THIS_THREADS)
            _check(_libc.mount(source, os.fsencode(path), None, _MS_BIND, None), f"mount {path}")
        finally:
            enter_network_namespace(home)
    finally:
        os.close(home)


def remove_network_namespace(path: Path) -> None:
    """Takes the name away: the namespace ends with the last process in it. One that is gone already is fine."""
    if _libc.umount2(os.fsencode(path), _MNT_DETACH):
        code = ctypes.get_errno()
        if code not in (errno.ENOENT, errno.EINVAL):
            raise OSError(code, f"umount {path}: {os.strerror(code)}")
    path.unlink(missing_ok=True)


def is_network_namespace(path: Path) -> bool:
    """Whether ``path`` stands for a namespace, rather than being what a crash or a reboot left of one."""
    try:
        return path.stat().st_dev == _THIS_THREADS.stat().st_dev
    except FileNotFoundError:
        return False


def _check(result: int, what: str) -> None:
    if result:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
