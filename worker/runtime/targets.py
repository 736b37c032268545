"""Places in a container's tree that mounts, devices and its working directory need: found, or made.

The image is hostile: links are followed within the tree, and only while they are few.
"""

import os
import stat

from worker.kernel import syscalls
from worker.kernel.syscalls import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS
from worker.runtime.refusal import INVALID, Refusal

LINKS_MAX = 40


def make_directory(path: str) -> None:
    """Makes a directory in the container, and those above it, when they are missing."""
    os.close(make_target(path, is_directory=True))


def make_target(path: str, *, is_directory: bool, links: int = 0) -> int:
    """Opens (as O_PATH) what a path in the container leads to; makes it when it is missing.

    Links are followed as a process in the container would; where one dangles, what it points to is made.

    Raises:
        Refusal: it cannot be made.
    """
    try:
        return _open_inside(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise Refusal(
            INVALID, f"{path} in the container: {os.strerror(error.errno or 0)}"
        ) from error
    parent, name = os.path.split(path.rstrip("/"))
    if name in ("", ".", "..") or links > LINKS_MAX:
        raise Refusal(INVALID, f"{path} in the container cannot be made")
    parent_fd = make_target(parent or "/", is_directory=True, links=links)
    try:
        _make_entry(name, parent_fd, is_directory=is_directory)
    except FileExistsError:
        link = os.readlink(name, dir_fd=parent_fd)
        further = link if link.startswith("/") else f"{parent}/{link}"
        return make_target(further, is_directory=is_directory, links=links + 1)
    except OSError as error:
        raise Refusal(
            INVALID, f"{path} in the container: {os.strerror(error.errno or 0)}"
        ) from error
    finally:
        os.close(parent_fd)
    return _open_inside(path)


def _make_entry(name: str, parent_fd: int, *, is_directory: bool) -> None:
    if is_directory:
        os.mkdir(name, 0o755, dir_fd=parent_fd)
    else:
        os.mknod(name, stat.S_IFREG | 0o644, dir_fd=parent_fd)


def _open_inside(path: str) -> int:
    resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        return syscalls.openat2(root, path, os.O_PATH, resolve)
    finally:
        os.close(root)
