"""A container's file system, made by its first process: overlay, pivot, Docker's /proc, /sys and /dev, and mounts.

The image is hostile. So the process makes the image's tree its own root before it resolves any path of it: from then
on no symbolic link leads to the host. What comes from the host (sources of binds) is opened before, as detached
mounts, and attached by descriptor. Targets are resolved by ``openat2``, which follows no magic link.
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
    MS_REC,
    MS_SHARED,
    MS_SLAVE,
    MS_STRICTATIME,
    RESOLVE_BENEATH,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
)
from worker.kernel.user_namespaces import make_files_as
from worker.runtime.devices import make_default_devices, make_device
from worker.runtime.masks import freeze, mask
from worker.runtime.refusal import INVALID, SYSTEM, Refusal
from worker.runtime.sharing import NONE
from worker.runtime.terminal import bind_console, open_console

TYPE_CHECKING = False
if TYPE_CHECKING:
    from worker.runtime.child import Surroundings
    from worker.runtime.orders import FileOrder, MountOrder, StartOrder

LINKS_MAX = 40
_O_PATH = os.O_PATH
_PROPAGATIONS = {"slave": MS_SLAVE, "shared": MS_SHARED, "private": MS_PRIVATE}

_DEVICE_LINKS = (
    ("ptmx", "pts/ptmx"),
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
)
_PAGE_BYTES = 4096
_SCRATCH = "/dev/.files"
_OF_FILES = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC


def enter_rootfs(order: "StartOrder", around: "Surroundings", memory_fd: int) -> None:
    """Makes the container's tree and makes it this process's root. The process is alone in its mount namespace.

    Args:
        order: what it is to be.
        around: the descriptors that it takes.
        memory_fd: the /dev/shm of others, that it shares; or -1.

    Raises:
        Refusal: the image or a mount is not as it must be.
        OSError: the kernel refused.
    """
    console_fd, owners_fd = around.stdio.console_fd, around.user_namespace_fd
    binds = [detached(mount, owners_fd) for mount in order["mounts"]]
    _change_root(order, owners_fd)
    _mount_kernel_filesystems(order)
    if order["namespaces"]["ipc"] != NONE:
        _mount_shared_memory(order["shm_bytes"], memory_fd)
    if console_fd >= 0:
        open_console(console_fd, order["process"]["rows"], order["process"]["columns"])
        bind_console()
    _mount_cgroups(around.entrance.shown, read_only=not order["privileged"])
    for device in order["devices"]:
        make_device(device, make_target)
    for name, value in order["sysctls"]:
        _write_sysctl(name, value)
    mask(order["masked_paths"])
    freeze(order["read_only_paths"])
    files = make_files(order["mounts"])
    for place, (mount, tree_fd) in enumerate(zip(order["mounts"], binds, strict=True)):
        _attach(mount, files.get(place, tree_fd))
    make_directory(order["process"]["cwd"])
    if order["root_read_only"]:
        root = os.open("/", _O_PATH | os.O_CLOEXEC)
        syscalls.set_mount(root, attributes=MOUNT_ATTR_RDONLY, recursive=False)
        os.close(root)


# -- root ------------------------------------------------------------------------------------------


def _change_root(order: "StartOrder", owners_fd: int) -> None:
    """From here on no path leads to the host, and what is made belongs to the container's root."""
    syscalls.mount("", "/", "", MS_REC | MS_PRIVATE)
    if owners_fd >= 0:
        map_layers(order, owners_fd)
        make_files_as(order["process"]["root_uid"], order["process"]["root_gid"])
    mount_overlay(order)  # Whoever mounts it makes its files in the writable layer.
    syscalls.pivot_root(".", ".")
    syscalls.umount(".", syscalls.MNT_DETACH)
    os.chdir("/")


def mount_overlay(order: "StartOrder") -> None:
    """Mounts the layers and goes there.

    The kernel takes one page of options, too little for the paths of a deep image. So the layers are named by their
    descriptors, as seen from /proc/self/fd; no character of a path needs escaping then, either.
    """
    lower = [_open_directory(path) for path in order["lower"]]
    upper, work = _open_directory(order["upper"]), _open_directory(order["work"])
    layers = ":".join(map(str, lower))
    options = f"lowerdir={layers},upperdir={upper},workdir={work}"
    os.chdir("/proc/self/fd")
    syscalls.mount("overlay", order["merged"], "overlay", 0, options)
    os.chdir(order["merged"])
    for fd in (*lower, upper, work):
        os.close(fd)


def map_layers(order: "StartOrder", owners_fd: int) -> None:
    """Mounts image and writable layer over themselves with the owners that a user namespace maps theirs to.

    On disk nothing is any other than without: layers are shared by all, whatever they are mapped to.

    Raises:
        Refusal: the kernel, or the file system, does not map owners.
    """
    writable = os.path.dirname(order["upper"])
    if os.path.dirname(order["work"]) != writable:
        raise Refusal(
            INVALID, "the writable layer and its work directory are not beside each other"
        )
    for path in dict.fromkeys((*order["lower"], writable)):
        tree = syscalls.open_tree(path, recursive=False)
        _map_owners(tree, owners_fd, path)
        target_fd = _open_directory(path)
        syscalls.move_mount(tree, target_fd)
        os.close(target_fd)
        os.close(tree)


def _map_owners(tree: int, owners_fd: int, path: str) -> None:
    try:
        syscalls.map_owners(tree, owners_fd)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        message = f"{path}: its file system, or the kernel (before 5.19), does not map owners"
        raise Refusal(SYSTEM, message) from error


def _open_directory(path: str) -> int:
    return os.open(path, _O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _mount_kernel_filesystems(order: "StartOrder") -> None:
    strict = MS_NOSUID | MS_NODEV | MS_NOEXEC
    _mount_new("proc", "/proc", "proc", strict)
    _mount_new("sysfs", "/sys", "sysfs", strict | (0 if order["privileged"] else MS_RDONLY))
    _mount_new("tmpfs", "/dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k")
    os.umask(0)
    make_default_devices()
    for name, target in _DEVICE_LINKS:
        os.symlink(target, f"/dev/{name}")
    pts = f"newinstance,ptmxmode=0666,mode=0620,gid={order['terminal_gid']}"
    _mount_new("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, pts)
    for path in ("/dev/pts", "/dev/pts/ptmx"):
        os.chown(path, order["process"]["root_uid"], order["process"]["root_gid"])
    _mount_new("mqueue", "/dev/mqueue", "mqueue", strict)
    os.umask(0o022)


def _mount_shared_memory(size_bytes: int, memory_fd: int) -> None:
    """Of its own, or the one of those whose ipc namespace it is in."""
    target = "/dev/shm"  # noqa: S108 - in the container
    if memory_fd < 0:
        strict = MS_NOSUID | MS_NODEV | MS_NOEXEC
        _mount_new("shm", target, "tmpfs", strict, f"mode=1777,size={size_bytes}")
        return
    os.mkdir(target, 0o755)
    target_fd = _open_directory(target)
    syscalls.move_mount(memory_fd, target_fd)
    os.close(target_fd)
    os.close(memory_fd)


def _mount_new(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Mounts onto a directory that must be one: a link here would be an image's trick."""
    try:
        os.mkdir(target, 0o755)
    except FileExistsError:
        if not stat.S_ISDIR(os.lstat(target).st_mode):
            raise Refusal(INVALID, f"{target} in the image is not a directory") from None
    syscalls.mount(source, target, kind, flags, options)


def _mount_cgroups(v1_controllers: tuple[str, ...], *, read_only: bool) -> None:
    """Shows the container its own groups: the Java runtime and others look for their limits there."""
    strict = MS_NOSUID | MS_NODEV | MS_NOEXEC
    flags = strict | (MS_RDONLY if read_only else 0)
    base = "/sys/fs/cgroup"
    if not v1_controllers:
        syscalls.mount("cgroup", base, "cgroup2", flags)
        return
    syscalls.mount("tmpfs", base, "tmpfs", strict, "mode=755,size=64k")
    for controllers in v1_controllers:
        os.mkdir(f"{base}/{controllers}", 0o755)
        syscalls.mount("cgroup", f"{base}/{controllers}", "cgroup", flags, controllers)
    syscalls.mount("", base, "", strict | MS_RDONLY | syscalls.MS_REMOUNT)


def _write_sysctl(name: str, value: str) -> None:
    path = f"/proc/sys/{name.replace('.', '/')}"
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        os.write(fd, value.encode())
        os.close(fd)
    except OSError as error:
        message = f"sysctl {name}={value}: {os.strerror(error.errno or 0)}"
        raise Refusal(INVALID, message) from error


# -- mounts ----------------------------------------------------------------------------------------


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
        _map_owners(tree, owners_fd, mount["source"])
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
    base = _open_directory(source)
    try:
        fd = syscalls.openat2(base, subpath, _O_PATH, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
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


def _attach(mount: "MountOrder", tree_fd: int) -> None:
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
    root = os.open("/", _O_PATH | os.O_CLOEXEC)
    try:
        return syscalls.openat2(root, path, _O_PATH, resolve)
    finally:
        os.close(root)


# -- files of our own --------------------------------------------------------------------------------


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


# -- files of the image ----------------------------------------------------------------------------


def read_image_file(path: str, max_bytes: int) -> str:
    """A text file of the image, such as /etc/passwd; "" when there is none.

    It may be a link, a pipe, a device or endless: only a regular file within ``max_bytes`` is read.

    Raises:
        Refusal: it is something else.
    """
    try:
        fd = syscalls.openat2(
            syscalls.AT_FDCWD,
            path,
            os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY,
            RESOLVE_NO_MAGICLINKS,
        )
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return ""
        raise Refusal(INVALID, f"{path} in the image: {os.strerror(error.errno or 0)}") from error
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Refusal(INVALID, f"{path} in the image is not a regular file")
        content = b""
        while piece := os.read(fd, max_bytes + 1 - len(content)):
            content += piece
            if len(content) > max_bytes:
                raise Refusal(INVALID, f"{path} in the image is larger than {max_bytes} bytes")
    finally:
        os.close(fd)
    return content.decode(errors="surrogateescape")
