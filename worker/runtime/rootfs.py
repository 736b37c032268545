"""A container's file system, made by its first process: overlay, pivot, Docker's /proc, /sys and /dev, and mounts.

The image is hostile. So the process makes the image's tree its own root before it resolves any path of it: from then
on no symbolic link leads to the host. What comes from the host (sources of binds) is opened before, as detached
mounts, and attached by descriptor. Targets are resolved by ``openat2``, which follows no magic link.
"""

import os
import stat

from worker.kernel import syscalls
from worker.kernel.syscalls import (
    MOUNT_ATTR_RDONLY,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_STRICTATIME,
)
from worker.kernel.user_namespaces import make_files_as
from worker.runtime.devices import make_default_devices, make_device
from worker.runtime.masks import freeze, mask
from worker.runtime.mounts import attach, detached, make_files, map_owners, open_directory
from worker.runtime.refusal import INVALID, Refusal
from worker.runtime.sharing import NONE
from worker.runtime.targets import make_directory
from worker.runtime.terminal import bind_console, open_console

TYPE_CHECKING = False
if TYPE_CHECKING:
    from worker.runtime.child import Surroundings
    from worker.runtime.orders import StartOrder

_DEVICE_LINKS = (
    ("ptmx", "pts/ptmx"),
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
)


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
        make_device(device)
    for name, value in order["sysctls"]:
        _write_sysctl(name, value)
    mask(order["masked_paths"])
    freeze(order["read_only_paths"])
    files = make_files(order["mounts"])
    for place, (mount, tree_fd) in enumerate(zip(order["mounts"], binds, strict=True)):
        attach(mount, files.get(place, tree_fd))
    make_directory(order["process"]["cwd"])
    if order["root_read_only"]:
        root = os.open("/", os.O_PATH | os.O_CLOEXEC)
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
    lower = [open_directory(path) for path in order["lower"]]
    upper, work = open_directory(order["upper"]), open_directory(order["work"])
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
        map_owners(tree, owners_fd, path)
        target_fd = open_directory(path)
        syscalls.move_mount(tree, target_fd)
        os.close(target_fd)
        os.close(tree)


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
    target_fd = open_directory(target)
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
