"""Network namespaces by name: made by leaving and coming back, kept by a bind mount on a file.

No process is forked: that would cost twenty times as much, and a daemon with threads must not fork at all.
"""

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.kernel.syscalls import CLONE_NEWNET, MNT_DETACH, MS_BIND, mount, setns, umount, unshare

_THIS_THREADS = Path("/proc/thread-self/ns/net")
_log = logging.getLogger(__name__)


@contextmanager
def visiting(descriptor: int) -> Iterator[None]:
    """The calling thread is in that network namespace inside the ``with``; it must not await there."""
    with _coming_home():
        setns(descriptor, CLONE_NEWNET)
        yield


def create_network_namespace(path: Path) -> None:
    """Makes a new network namespace that ``path`` stands for; the calling thread stays where it is."""
    path.touch(mode=0o600)
    with _coming_home():
        unshare(CLONE_NEWNET)
        mount(str(_THIS_THREADS), str(path), "", MS_BIND)


def remove_network_namespace(path: Path) -> None:
    """Takes the name away: the namespace ends with the last process in it. One that is gone already is fine."""
    try:
        umount(str(path), MNT_DETACH)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EINVAL):
            raise
    path.unlink(missing_ok=True)


def is_network_namespace(path: Path) -> bool:
    """Whether ``path`` stands for a namespace, rather than being what a crash or a reboot left of one."""
    try:
        return path.stat().st_dev == _THIS_THREADS.stat().st_dev
    except FileNotFoundError:
        return False


@contextmanager
def _coming_home() -> Iterator[None]:
    home = os.open(_THIS_THREADS, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        try:
            setns(home, CLONE_NEWNET)
        except OSError:
            # A daemon that goes on in a container's network would do harm. Containers outlive its end.
            _log.critical("cannot return to the host's network namespace")
            os.abort()
        os.close(home)
