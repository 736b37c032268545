"""What an OCI runtime finds when it makes a container: its layers, its binds and its groups, in mounts of its own.

The mounts lie in a mount namespace that only the process which runs the runtime has, so nothing is left of them when
that process is gone; the container keeps what it was given. Sources of binds are opened before the namespace is cut
off from the host's, as in ``rootfs``, so that a shared mount stays one.
"""

import errno
import os
import stat

from worker.kernel import syscalls
from worker.kernel.cgroupfs import find_hierarchies, read_text
from worker.kernel.syscalls import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_PRIVATE,
    MS_REC,
    RESOLVE_BENEATH,
)
from worker.runtime.mounts import detached, make_files, mount_tmpfs
from worker.runtime.process import find_user
from worker.runtime.refusal import INVALID, Refusal
from worker.runtime.rootfs import mount_overlay
from worker.runtime.sharing import shared_memory
from worker.runtime.targets import make_target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from worker.runtime.child import Surroundings as Around
    from worker.runtime.orders import MountOrder, StartOrder
    from worker.runtime.users import User

    T = TypeVar("T")

CGROUPS = "/sys/fs/cgroup"
_STRICT = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC
_OF_KERNEL = ("/proc", "/sys", "/dev")
_VIEW_OPTIONS = "mode=755,size=64k"


class Tree:
    """What was made."""

    __slots__ = ("cgroup_bind", "memory_bind", "mounts", "user")

    def __init__(self, mounts: list[tuple[str, str]], user: "User") -> None:
        self.mounts = mounts
        """What to bind, and where: no link is in these paths as far as the image has a say."""
        self.user = user
        self.cgroup_bind = ""
        """v1: the container's groups."""
        self.memory_bind = ""
        """The /dev/shm of others that it has, too."""


def make_tree(order: "StartOrder", view: str, cgroup_path: str, around: "Around") -> Tree:
    """Makes everything that the runtime is to find. ``view`` is an empty directory of the host.

    Raises:
        Refusal: the image or a mount is not as it must be.
        OSError: the kernel refused.
    """
    syscalls.unshare(syscalls.CLONE_NEWNS)
    shown = around.entrance.shown
    memory_fd = shared_memory(order, around.spaces) if around.spaces is not None else -1
    trees = [detached(mount) for mount in order["mounts"]]
    syscalls.mount("", "/", "", MS_REC | MS_PRIVATE)
    mount_overlay(order)
    syscalls.mount("tmpfs", view, "tmpfs", syscalls.MS_NOSUID, "mode=700")
    files = make_files(order["mounts"], f"{view}/files")
    trees = [files.get(place, tree_fd) for place, tree_fd in enumerate(trees)]
    targets = Targets(order["merged"])
    user = inside(order["merged"], lambda: _look_at_image(order, targets, trees))
    binds = [
        _attach(f"{view}/{place}", fd) if fd >= 0 else _tmpfs(f"{view}/{place}", mount)
        for place, (fd, mount) in enumerate(zip(trees, order["mounts"], strict=True))
    ]
    tree = Tree(list(zip(binds, targets.resolved(), strict=True)), user)
    if memory_fd >= 0:
        tree.memory_bind = _attach(f"{view}/shm", memory_fd)
    if shown:
        read_only = not order["privileged"]
        tree.cgroup_bind = _show_groups(f"{view}/cgroup", cgroup_path, shown, read_only=read_only)
    show_hierarchies(shown)
    return tree


def _look_at_image(order: "StartOrder", targets: "Targets", trees: list[int]) -> "User":
    """In the image: makes what is missing for the mounts, and finds the user."""
    for name in _OF_KERNEL:
        if os.path.lexists(name) and not stat.S_ISDIR(os.lstat(name).st_mode):
            raise Refusal(INVALID, f"{name} in the image is not a directory")
    for mount, tree_fd in zip(order["mounts"], trees, strict=True):
        targets.add(mount["target"], tree_fd)
    targets.add_directory(order["process"]["cwd"])
    return find_user(order["process"])


class Targets:
    """Paths in the container, resolved in its image: a runtime is given none that a link of the image leads elsewhere.

    What lies below another mount is left to the runtime: there the image has nothing to say.
    """

    def __init__(self, root: str) -> None:
        self._root = os.path.realpath(root)
        self._found: list[tuple[str, int]] = []
        """Paths as asked for, and what they lead to (-1: nothing was looked for)."""
        self._mounted: list[tuple[str, int]] = [(name, -1) for name in _OF_KERNEL]
        """Paths where something is mounted, and the detached mounts."""

    def add(self, path: str, tree_fd: int) -> None:
        """The target of a mount; made when it is missing.

        Raises:
            Refusal: it cannot be one.
        """
        is_directory = tree_fd < 0 or stat.S_ISDIR(os.fstat(tree_fd).st_mode)
        path = _plain(path)
        self._refuse_proc(path, path)
        covers = self._cover(path) is not None
        self._found.append((path, -1 if covers else make_target(path, is_directory=is_directory)))
        self._mounted.append((path, tree_fd))

    def add_directory(self, path: str) -> None:
        """A working directory: it must not lead to a descriptor of the runtime's, by no link.

        Raises:
            Refusal: it might.
        """
        path = _plain(path)
        if _is_within(path, "/proc"):
            raise Refusal(INVALID, f"working directory {path} is outside the container")
        cover = self._cover(path)
        if cover is None:
            fd = make_target(path, is_directory=True)
        elif cover[1] < 0:
            return
        else:
            fd = _open_below(cover[1], path[len(cover[0]) :].strip("/"), path)
        self._found.append((path, fd))

    def resolved(self) -> list[str]:
        """Where the mounts go; to be asked with the host's root as root.

        Raises:
            Refusal: one goes into /proc.
        """
        targets = []
        for path, fd in self._found:
            if fd < 0:
                targets.append(path)
                continue
            where = os.readlink(f"/proc/self/fd/{fd}")
            os.close(fd)
            inner = where.removeprefix(self._root) if where.startswith(self._root) else path
            self._refuse_proc(path, inner)
            targets.append(inner)
        return targets[: len(self._mounted) - len(_OF_KERNEL)]

    def _cover(self, path: str) -> tuple[str, int] | None:
        """The last mount that a path lies in."""
        above = [one for one in self._mounted if _is_within(path, one[0])]
        return above[-1] if above else None

    def _refuse_proc(self, path: str, inner: str) -> None:
        if _is_within(inner, "/proc"):
            raise Refusal(INVALID, f"cannot mount on {path}: it is inside /proc")


def _plain(path: str) -> str:
    return "/" + os.path.normpath(path).lstrip("/")


def _is_within(path: str, directory: str) -> bool:
    return path == directory or path.startswith(f"{directory.rstrip('/')}/")


def _open_below(tree_fd: int, rest: str, path: str) -> int:
    """What a path below a mount leads to, or -1 when there is nothing. Links there are not followed."""
    resolve = RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS
    try:
        return syscalls.openat2(tree_fd, rest or ".", os.O_PATH, resolve)
    except OSError as error:
        if error.errno == errno.ELOOP:
            message = f"working directory {path}: an OCI runtime is led by no link in a volume"
            raise Refusal(INVALID, message) from error
        return -1


def show_hierarchies(shown: tuple[str, ...]) -> None:
    """v1: leaves only those hierarchies in sight that we make groups in.

    A runtime would make groups in all that it sees, which nobody would take away; and crun refuses a machine that
    has the unified hierarchy beside the others.
    """
    if not shown:
        return
    hierarchies = find_hierarchies(read_text("/proc/self/mountinfo"))
    found = hierarchies.controllers
    places = dict.fromkeys(found[controllers.split(",")[0]] for controllers in shown)
    trees = {place: syscalls.open_tree(place, recursive=False) for place in places}
    for place in {*found.values(), hierarchies.unified} - {""}:
        syscalls.umount(
            place, syscalls.MNT_DETACH
        )  # What is only covered, runc finds all the same.
    syscalls.mount("tmpfs", CGROUPS, "tmpfs", syscalls.MS_NOSUID, _VIEW_OPTIONS)
    for place, tree in trees.items():
        _attach(f"{CGROUPS}/{os.path.basename(place)}", tree)


def inside(root: str, work: "Callable[[], T]") -> "T":
    """Does something with another directory as this process's root, where links lead as they do in the container."""
    outside = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.chroot(root)
        os.chdir("/")
        return work()
    finally:
        os.chdir(outside)
        os.chroot(".")
        os.close(outside)


def _show_groups(place: str, cgroup_path: str, shown: tuple[str, ...], *, read_only: bool) -> str:
    """v1: the container's groups in a tmpfs of their own, as our own runtime mounts them."""
    frozen = MOUNT_ATTR_RDONLY if read_only else 0
    found = find_hierarchies(read_text("/proc/self/mountinfo")).controllers
    os.mkdir(place, 0o755)
    syscalls.mount("tmpfs", place, "tmpfs", syscalls.MS_NOSUID, _VIEW_OPTIONS)
    for controllers in shown:
        group = f"{found[controllers.split(',')[0]]}{cgroup_path}"
        tree = syscalls.open_tree(group, recursive=False)
        syscalls.set_mount(tree, attributes=_STRICT | frozen, recursive=False)
        _attach(f"{place}/{controllers}", tree)
    top = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    syscalls.set_mount(top, attributes=_STRICT | MOUNT_ATTR_RDONLY, recursive=False)
    os.close(top)
    frozen_too = syscalls.MS_REMOUNT | syscalls.MS_RDONLY | syscalls.MS_NOSUID
    syscalls.mount("tmpfs", place, "tmpfs", frozen_too | syscalls.MS_NODEV | syscalls.MS_NOEXEC)
    return place


def _tmpfs(place: str, mount: "MountOrder") -> str:
    os.mkdir(place, 0o755)
    fd = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    mount_tmpfs(mount, fd)
    os.close(fd)
    return place


def _attach(place: str, tree_fd: int) -> str:
    """Mounts a detached tree on a new directory or file, and closes it."""
    if stat.S_ISDIR(os.fstat(tree_fd).st_mode):
        os.mkdir(place, 0o755)
    else:
        os.mknod(place, stat.S_IFREG | 0o600)
    target = os.open(place, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    syscalls.move_mount(tree_fd, target)
    os.close(target)
    os.close(tree_fd)
    return place
