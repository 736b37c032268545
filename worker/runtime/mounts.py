"""What is mounted into a container's tree: binds, tmpfs, and files that the order brings with it.

Sources are opened while the host is still in sight, as detached mounts, and attached by descriptor.
"""

import errno
import os
import stat

from worker.kernel import syscalls
from worker.kernel.syscalls import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_SHARED,
    MS_SLAVE,
    RESOLVE_BENEATH,
    RESOLVE_NO_MAGICLINKS,
)
from worker.runtime.refusal import INVALID, SYSTEM, Refusal
from worker.runtime.targets import make_target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from worker.runtime.orders import FileOrder, MountOrder

_PROPAGATIONS = {"slave": MS_SLAVE, "shared": MS_SHARED, "private": MS_PRIVATE}
_PAGE_BYTES = 4096
_SCRATCH = "/dev/.files"
_OF_FILES = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC


def detached(mount: "MountOrder", owners_fd: int = -1) -> int:
    """A bind's source as a detached mount with all its attributes, or -1 for a tmpfs or a file.

    Taken before this namespace is cut off from the host's, so that a "shared" mount stays one.
    """
    if not mount["source"]:
        return -1
    recursive = mount["recursive"]
    try:
        tree = _open_source(mount["source"], mount["subpath"], recursive=recursive)
    except FileNotFoundError as error:
        message = f"invalid mount config: bind source path does not exist: {mount['source']}"
        raise Refusal(INVALID, message) from error
    if owners_fd >= 0 and mount["maps_owners"]:
        map_owners(tree, owners_fd, mount["source"])
    wanted = mount["propagation"] or "rprivate"
    propagation = _PROPAGATIONS[wanted.removeprefix("r")]
    syscalls.set_mount(
        tree, propagation=propagation, recursive=recursive and wanted.startswith("r")
    )
    if mount["read_only"]:
        below = recursive and mount["read_only_below"]
        syscalls.set_mount(tree, attributes=MOUNT_ATTR_RDONLY, recursive=below)
    return tree


def _open_source(source: str, subpath: str, *, recursive: bool) -> int:
    """A source, or what lies below it. Other containers may change links there at any time: none is let out of it."""
    if not subpath:
        return syscalls.open_tree(source, recursive=recursive)
    base = open_directory(source)
    try:
        fd = syscalls.openat2(base, subpath, os.O_PATH, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
    except OSError as error:
        why = (
            "it leads out of the volume"
            if error.errno == errno.EXDEV
            else os.strerror(error.errno or 0)
        )
        raise Refusal(INVALID, f"cannot access path {source}/{subpath}: {why}") from error
    finally:
        os.close(base)
    try:
        return syscalls.open_tree_of(fd, recursive=recursive)
    finally:
        os.close(fd)


def attach(mount: "MountOrder", tree_fd: int) -> None:
    """Attaches a detached mount, or a new tmpfs, to its target.

    Raises:
        Refusal: it cannot be there.
    """
    is_directory = tree_fd < 0 or stat.S_ISDIR(os.fstat(tree_fd).st_mode)
    target_fd = make_target(mount["target"], is_directory=is_directory)
    try:
        _refuse_proc(mount["target"], target_fd)
        if tree_fd < 0:
            mount_tmpfs(mount, target_fd)
        else:
            syscalls.move_mount(tree_fd, target_fd)
            os.close(tree_fd)
    except OSError as error:
        message = f"mount on {mount['target']}: {os.strerror(error.errno or 0)}"
        raise Refusal(INVALID if error.errno == errno.ENOTDIR else SYSTEM, message) from error
    finally:
        os.close(target_fd)


def mount_tmpfs(mount: "MountOrder", target_fd: int) -> None:
    """Mounts a tmpfs of a container's onto a directory."""
    size = f",size={mount['tmpfs_size_bytes']}" if mount["tmpfs_size_bytes"] else ""
    more = f",{mount['tmpfs_data']}" if mount["tmpfs_data"] else ""
    options = f"mode={mount['tmpfs_mode']:o}{size}{more}"
    flags = mount["tmpfs_flags"] | (MS_RDONLY if mount["read_only"] else 0)
    syscalls.mount("tmpfs", f"/proc/self/fd/{target_fd}", "tmpfs", flags, options)


def _refuse_proc(target: str, target_fd: int) -> None:
    """A mount inside /proc could fake what the kernel says to programs, and to us."""
    resolved = os.readlink(f"/proc/self/fd/{target_fd}")
    if resolved == "/proc" or resolved.startswith("/proc/"):
        raise Refusal(INVALID, f"cannot mount on {target}: it is inside /proc")


def map_owners(tree: int, owners_fd: int, path: str) -> None:
    """Has a detached mount show the owners that a user namespace maps its own to.

    Raises:
        Refusal: the kernel, or the file system, cannot.
    """
    try:
        syscalls.map_owners(tree, owners_fd)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        message = f"{path}: its file system, or the kernel (before 5.19), does not map owners"
        raise Refusal(SYSTEM, message) from error


def open_directory(path: str) -> int:
    """Holds a directory, without reading it."""
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def make_files(mounts: "list[MountOrder]", scratch: str = _SCRATCH) -> dict[int, int]:
    """Makes the files that mounts bring with them; gives each as a detached mount, by the place of its mount.

    They lie in a tmpfs that only these mounts lead to: it is gone with the last of them, however the container ends.
    It is made in ``scratch``, a name that nothing has yet: in /dev, while that is surely ours.
    """
    wanted = {place: mount["file"] for place, mount in enumerate(mounts) if mount["file"]}
    if not wanted:
        return {}
    os.mkdir(scratch, 0o700)
    pages = sum(len(file["data"]) // _PAGE_BYTES + 1 for file in wanted.values())
    options = f"mode=711,size={(pages + 1) * _PAGE_BYTES},nr_inodes={len(wanted) + 2}"
    strict = MS_NOSUID | MS_NODEV | MS_NOEXEC
    syscalls.mount("tmpfs", scratch, "tmpfs", strict, options)
    trees = {}
    for place, file in wanted.items():
        path = f"{scratch}/{place}"
        _write_file(path, file)
        trees[place] = syscalls.open_tree(path, recursive=False)
        syscalls.set_mount(trees[place], attributes=_OF_FILES, recursive=False)
    syscalls.umount(scratch, syscalls.MNT_DETACH)
    os.rmdir(scratch)
    return trees


def _write_file(path: str, file: "FileOrder") -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        data = memoryview(file["data"])
        while data:
            data = data[os.write(fd, data) :]
        os.fchown(fd, file["uid"], file["gid"])
        os.fchmod(fd, file["mode"])
    finally:
        os.close(fd)
