"""The device nodes of a container. Called by its first process, which has the container's tree as its root."""

import os
import stat

from worker.runtime.refusal import INVALID, SYSTEM, Refusal
from worker.runtime.targets import make_target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from worker.runtime.orders import DeviceOrder

DEFAULT_DEVICES = (
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
)
"""Docker's six: name below /dev, major, minor; all of them characters that anybody may read and write."""


def make_default_devices() -> None:
    """In an empty /dev."""
    for name, major, minor in DEFAULT_DEVICES:
        os.mknod(f"/dev/{name}", stat.S_IFCHR | 0o666, os.makedev(major, minor))


def make_device(device: "DeviceOrder") -> None:
    """Makes one node, unless it is there already.

    Raises:
        Refusal: it cannot be made there.
    """
    path = device["path"]
    number = os.makedev(device["major"], device["minor"])
    kind = stat.S_IFBLK if device["kind"] == "b" else stat.S_IFCHR
    parent, name = os.path.split(path)
    parent_fd = make_target(parent, is_directory=True)
    try:
        if not _is_there(name, parent_fd, kind, number):
            os.mknod(name, kind | 0o600, number, dir_fd=parent_fd)
            os.chown(name, device["uid"], device["gid"], dir_fd=parent_fd, follow_symlinks=False)
            os.chmod(name, device["mode"], dir_fd=parent_fd)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise Refusal(SYSTEM, f"device {path}: {reason}") from error
    finally:
        os.close(parent_fd)


def _is_there(name: str, parent_fd: int, kind: int, number: int) -> bool:
    """Whether this device is there; something else under its name is refused."""
    try:
        status = os.lstat(name, dir_fd=parent_fd)
    except FileNotFoundError:
        return False
    if stat.S_IFMT(status.st_mode) != kind or status.st_rdev != number:
        raise Refusal(INVALID, f"device {name}: something else is there")
    return True
