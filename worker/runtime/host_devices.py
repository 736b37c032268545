"""The devices of this host, as containers may get them."""

import os
import stat
from collections.abc import Iterator

from common.errors import InvalidInputError
from worker.runtime.bundle import DeviceNode

DEVICES_MAX = 4096
"""Nodes that one container gets; a large machine has some hundreds."""
_DEPTH_MAX = 16
_NOT_HANDED_ON = frozenset(
    {"pts", "ptmx", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev", "console"}
)
"""What a container has of its own, and what other programs keep below /dev."""
_PERMISSIONS = frozenset("rwm")


def devices_from_path(on_host: str, in_container: str, access: str) -> tuple[DeviceNode, ...]:
    """The device at a path of the host, links followed; of a directory, all that lie below it.

    Raises:
        InvalidInputError: there is none.
    """
    if not access or set(access) - _PERMISSIONS:
        raise InvalidInputError(f"invalid device mode: {access}")
    if not in_container.startswith("/"):
        raise InvalidInputError(f"{in_container} is not an absolute path")
    try:
        real = os.path.realpath(on_host, strict=True)
        status = os.stat(real)
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise _no_device(on_host, reason) from error
    if not stat.S_ISDIR(status.st_mode):
        node = _node(in_container, status, access)
        if node is None:
            raise _no_device(on_host, "not a device node")
        return (node,)
    found = tuple(_below(real, in_container.rstrip("/"), access, depth=0))
    if not found:
        raise _no_device(on_host, "no device nodes in this directory")
    return _bounded(found)


def all_devices(directory: str = "/dev") -> tuple[DeviceNode, ...]:
    """What a privileged container gets: everything below /dev but what it has of its own."""
    return _bounded(tuple(_below(directory, "/dev", "rwm", depth=0)))


def _no_device(path: str, reason: str) -> InvalidInputError:
    return InvalidInputError(
        f'error gathering device information while adding custom device "{path}": {reason}'
    )


def _bounded(found: tuple[DeviceNode, ...]) -> tuple[DeviceNode, ...]:
    if len(found) > DEVICES_MAX:
        raise InvalidInputError(f"{len(found)} devices are more than {DEVICES_MAX}")
    return found


def _below(directory: str, shown: str, access: str, *, depth: int) -> Iterator[DeviceNode]:
    """In order; links are not followed. What goes away meanwhile is not there."""
    try:
        with os.scandir(directory) as entries:
            names = sorted(entry.name for entry in entries)
    except OSError:
        return
    for name in names:
        if name in _NOT_HANDED_ON:
            continue
        try:
            status = os.lstat(f"{directory}/{name}")
        except FileNotFoundError:
            continue
        if stat.S_ISDIR(status.st_mode):
            if depth < _DEPTH_MAX:
                yield from _below(f"{directory}/{name}", f"{shown}/{name}", access, depth=depth + 1)
        elif node := _node(f"{shown}/{name}", status, access):
            yield node


def _node(path: str, status: os.stat_result, access: str) -> DeviceNode | None:
    mode = status.st_mode
    if not (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)):
        return None
    return DeviceNode(
        path=path,
        kind="c" if stat.S_ISCHR(mode) else "b",
        major=os.major(status.st_rdev),
        minor=os.minor(status.st_rdev),
        mode=stat.S_IMODE(mode),
        uid=status.st_uid,
        gid=status.st_gid,
        access=access,
    )
