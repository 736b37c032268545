"""Walking a tree that others may change meanwhile: no link is ever followed, no mount is entered, no depth is too much.

Each directory is opened by ``openat2`` from the root, which refuses every symbolic link on the way. So whoever swaps a
directory for a link while we walk only has it left out.
"""

import errno
import os
from collections.abc import Iterator
from itertools import islice

from worker.kernel.paths import NO_LINKS, NO_MOUNTS, open_in_root

DEPTH_MAX = 1024
"""Directories below one another; deeper ones are an error."""
NAMES_MAX = 1_000_000
"""Names in one directory; more are an error."""
HOP_BYTES_MAX = 3072
"""The kernel takes paths of 4,095 bytes: longer ones are walked in hops."""
GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV})
"""What the kernel says of a directory that is none any more."""


class TooLargeTreeError(OSError):
    """More directories below one another than ``DEPTH_MAX``, or names in one than ``NAMES_MAX``."""


def open_beneath(root: int, path: bytes, flags: int, *, cross_mounts: bool = False) -> int:
    """Opens a path below a directory, following no link at all; the path may be longer than the kernel takes.

    Raises:
        OSError: it is not there, leads over a link, or over a mount when ``cross_mounts`` is not said.
    """
    refuse = NO_LINKS | (0 if cross_mounts else NO_MOUNTS)
    hops = list(_hops(path))
    current = root
    try:
        for hop in hops[:-1]:
            below = open_in_root(current, hop, os.O_PATH | os.O_DIRECTORY, refuse=refuse)
            if current != root:
                os.close(current)
            current = below
        return open_in_root(current, hops[-1], flags, refuse=refuse)
    finally:
        if current != root:
            os.close(current)


def _hops(path: bytes) -> Iterator[bytes]:
    while len(path) > HOP_BYTES_MAX:
        cut = path.rfind(b"/", 0, HOP_BYTES_MAX)
        yield path[:cut]
        path = path[cut + 1 :]
    yield path


def walk(root: int, *, cross_mounts: bool = False) -> Iterator[tuple[bytes, int, list[bytes]]]:
    """Every directory, the root first: its path below the root, a descriptor of it, the names in it in order.

    The descriptor is closed when the next one is asked for. A name that the caller takes out of the list is not walked
    into. What goes away meanwhile is left out.

    Raises:
        TooLargeTreeError: the tree is too deep or too wide.
        OSError: the disk said no.
    """
    waiting = [b""]
    while waiting:
        path = waiting.pop()
        if path.count(b"/") >= DEPTH_MAX:
            raise TooLargeTreeError(
                errno.ENAMETOOLONG, "directories are too deep", os.fsdecode(path[:80])
            )
        try:
            directory = open_beneath(
                root, path, os.O_RDONLY | os.O_DIRECTORY, cross_mounts=cross_mounts
            )
        except OSError as error:
            if error.errno not in GONE:
                raise
            continue
        try:
            with os.scandir(directory) as found:
                entries = sorted(
                    (os.fsencode(one.name), one.is_dir(follow_symlinks=False))
                    for one in islice(found, NAMES_MAX + 1)
                )
            if len(entries) > NAMES_MAX:
                message = f"more than {NAMES_MAX} names in a directory"
                raise TooLargeTreeError(errno.EFBIG, message, os.fsdecode(path))
            names = [name for name, _ in entries]
            yield path, directory, names
            kept = set(names)
            waiting += [
                path + b"/" + name if path else name
                for name, is_directory in reversed(entries)
                if is_directory and name in kept
            ]
        finally:
            os.close(directory)
