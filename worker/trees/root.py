"""The helper's way to a container's tree: of one that runs, or of one that does not, mounted for the helper alone."""

import os
import select
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from common.errors import ConflictError, InvalidInputError
from worker.kernel.overlay import mount_overlay
from worker.kernel.paths import open_beneath_root, open_in_root
from worker.kernel.syscalls import (
    CLONE_NEWNS,
    MOUNT_ATTR_RDONLY,
    MS_NODEV,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
    mount,
    move_mount,
    open_tree,
    open_tree_of,
    pidfd_open,
    set_mount,
    setns,
    unshare,
)
from worker.trees.order import TreeMount, TreeOrder, Work

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_SCRATCH_OPTIONS = "mode=700,size=16m,nr_inodes=4096"


class Running:
    """The tree of a container that runs, as its first process sees it."""

    def __init__(self, pid: int) -> None:
        try:
            self._pidfd = pidfd_open(pid)
            self.root = os.open(f"/proc/{pid}/root", _DIRECTORY)
            proc = Path(f"/proc/{pid}")
            self.users, self.groups = (proc / "uid_map").read_text(), (proc / "gid_map").read_text()
        except (ProcessLookupError, FileNotFoundError) as error:
            raise ConflictError("the container has just ended", hint="try again") from error
        self.check()

    def check(self) -> None:
        """Raises ConflictError once its first process has ended: its tree may be another's from then on."""
        if select.select([self._pidfd], [], [], 0)[0]:
            raise ConflictError("the container ended meanwhile")

    def without_mounts(self) -> int:
        """Its tree alone, without what is mounted in it."""
        home = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        try:
            setns(self._pidfd, CLONE_NEWNS)
            tree = open_tree("/", recursive=False)
        finally:
            setns(home, CLONE_NEWNS)
            os.close(home)
        return tree


def scratch(order: TreeOrder) -> Path:
    """A directory in memory in mounts of our own; nothing of it is left when this process ends."""
    place = Path(order.place)
    place.mkdir(parents=True, exist_ok=True, mode=0o710)
    unshare(CLONE_NEWNS)
    mount("", "/", "", MS_REC | MS_PRIVATE)
    mount("tmpfs", order.place, "tmpfs", MS_NOSUID | MS_NODEV, _SCRATCH_OPTIONS)
    for name in ("upper", "work", "merged", "empty"):
        (place / name).mkdir()
        (place / name).chmod(0o755)
    return place


def mounted(order: TreeOrder) -> int:
    """The tree of a container that does not run, with its mounts.

    Only when it is to be written to is its own layer writable; otherwise what is missing for a mount is made in memory.

    Raises:
        InvalidInputError: a mount that cannot be.
        OSError: the kernel refused.
    """
    place = scratch(order)
    trees = [_source(one) for one in order.mounts]
    if order.work is Work.PUT:
        lower, upper, work = order.lower, order.upper, order.overlay_work
    else:
        lower = (order.upper, *order.lower)
        upper, work = str(place / "upper"), str(place / "work")
    mount_overlay(lower, str(place / "merged"), upper=upper, work=work)
    root = os.open(place / "merged", _DIRECTORY)
    for one, tree in zip(order.mounts, trees, strict=True):
        is_directory = stat.S_ISDIR(os.fstat(tree).st_mode)
        target = _make_target(root, os.fsencode(one.target), is_directory=is_directory)
        move_mount(tree, target)
        os.close(target)
        os.close(tree)
    if order.root_read_only:
        set_mount(root, attributes=MOUNT_ATTR_RDONLY, recursive=False)
    return root


def below(order: TreeOrder) -> int:
    """The image's tree, as the container's own layer lies on it."""
    place = scratch(order)
    mount_overlay((*order.lower, str(place / "empty")), str(place / "merged"))
    return os.open(place / "merged", _DIRECTORY)


def _source(one: TreeMount) -> int:
    """A mount's source, detached."""
    if one.options:
        from worker.volumes.mounting import MountOptions  # noqa: PLC0415 - seldom needed, and slow to load

        MountOptions().mount(one.options, one.source)
    try:
        if one.subpath:
            base = os.open(one.source, _DIRECTORY)
            held = open_beneath_root(base, os.fsencode(one.subpath), os.O_PATH)
            os.close(base)
            tree = open_tree_of(held, recursive=one.recursive)
            os.close(held)
        else:
            tree = open_tree(one.source, recursive=one.recursive)
    except OSError as error:
        raise InvalidInputError(
            f"cannot mount on {one.target}: {one.source}/{one.subpath}: {error.strerror}"
        ) from error
    if one.read_only:
        set_mount(tree, attributes=MOUNT_ATTR_RDONLY, recursive=one.recursive)
    return tree


def _make_target(root: int, path: bytes, *, is_directory: bool) -> int:
    """What a mount goes onto, made when it is missing."""
    with suppress(FileNotFoundError):
        return open_in_root(root, path, os.O_PATH)
    above, _, name = path.rstrip(b"/").rpartition(b"/")
    parent = _make_target(root, above or b"/", is_directory=True)
    make: Callable[..., None] = os.mkdir if is_directory else os.mknod
    try:
        with suppress(FileExistsError):  # a link that leads nowhere: opening it says so
            make(name, 0o755 if is_directory else stat.S_IFREG | 0o644, dir_fd=parent)
    finally:
        os.close(parent)
    return open_in_root(root, path, os.O_PATH)
