"""Mounting layers on one another, however many there are."""

import os
from collections.abc import Sequence

from worker.kernel.syscalls import MS_RDONLY, mount

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def mount_overlay(lower: Sequence[str], merged: str, *, upper: str = "", work: str = "") -> None:
    """Mounts layers, topmost first, and a writable one if there is one, in the calling thread's mount namespace.

    The kernel takes one page of options, too little for the paths of a deep image. So the layers are named by their
    descriptors, as seen from /proc/thread-self/fd. The thread must have a working directory of its own; it ends at
    the root. Without a writable layer the kernel wants at least two.

    Raises:
        OSError: the kernel refused.
    """
    opened: list[int] = []
    try:
        opened += [os.open(path, _DIRECTORY) for path in lower]
        options = "lowerdir=" + ":".join(map(str, opened))
        if upper:
            opened += [os.open(path, _DIRECTORY) for path in (upper, work)]
            options += f",upperdir={opened[-2]},workdir={opened[-1]}"
        os.chdir("/proc/thread-self/fd")
        mount("overlay", merged, "overlay", 0 if upper else MS_RDONLY, options)
    finally:
        os.chdir("/")
        for descriptor in opened:
            os.close(descriptor)
