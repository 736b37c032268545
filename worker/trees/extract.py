"""A tar archive into a directory of a container, while the container may change that directory under our hands.

The directory is held by a descriptor; every parent of an entry is resolved below it anew by ``openat2``, which refuses
whatever leads out of it; the entry itself is made by name in its parent, and only anew (O_EXCL) or without following
a link. So a link that the container puts in the way is at worst an error.
"""

import errno
import os
import posixpath
import stat
import tarfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from common.errors import ForbiddenError, InvalidInputError, NotImplementedHereError
from worker.images.archive import Meter
from worker.kernel.paths import open_beneath_root
from worker.kernel.tree_removal import remove_tree_beneath
from worker.trees.ids import EVERY_ID, IdRun, to_outside

DIRECTORIES_TIMED_MAX = 100_000
"""Directories that get the archive's time in the end; further ones have that of their last change."""
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_PATH | os.O_DIRECTORY
_OWN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_XATTR = "SCHILY.xattr."
_TIME_MAX_SECONDS = 2**33


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """How an archive is to be extracted."""

    is_strict: bool = False
    """A directory never takes the place of something else, nor the other way round (``noOverwriteDirNonDir``)."""
    owner: tuple[int, int] | None = None
    """Whose everything is to be, as the host sees it; None is as the archive says."""
    users: tuple[IdRun, ...] = EVERY_ID
    groups: tuple[IdRun, ...] = EVERY_ID
    check: Callable[[], None] = lambda: None
    """Called before each entry; raises when it is to be the last."""


class Extractor:
    """Makes entries below a directory that the caller holds open."""

    def __init__(self, directory: int, how: Extraction) -> None:
        self._root, self._how = directory, how
        self._times: dict[bytes, int] = {}

    def make(self, entry: tarfile.TarInfo, data: Meter) -> None:
        """Makes one entry; ``data`` stands at a file's content.

        Raises:
            InvalidInputError: it contradicts what is there, or leads out of the directory.
            ForbiddenError: what it is to be made in cannot be written to.
            NotImplementedHereError: it is a device.
            OSError: the disk said no.
        """
        self._how.check()
        path = entry_path(entry.name)
        try:
            self._make(entry, path, data)
        except OSError as error:
            raise _said(error, os.fsdecode(path)) from error

    def _make(self, entry: tarfile.TarInfo, path: bytes, data: Meter) -> None:
        if not path:
            if not entry.isdir():
                raise InvalidInputError(f"invalid archive: {entry.name!r} is not a file's name")
            return
        _check_kind(entry)
        above, name = posixpath.split(path)
        parent = self._parent(above)
        try:
            is_there = self._make_room(entry, parent, name)
            if entry.isdir():
                self._make_directory(entry, parent, name, is_there=is_there)
                self._remember(path, entry)
            elif entry.isreg():
                self._make_file(entry, parent, name, data)
            else:
                self._make_other(entry, parent, name)
        finally:
            os.close(parent)

    def _parent(self, path: bytes) -> int:
        """The directory that an entry goes into, made when it is missing."""
        with suppress(FileNotFoundError):
            return open_beneath_root(self._root, path, _DIRECTORY)
        done = b""
        for part in path.split(b"/"):
            above = open_beneath_root(self._root, done, _DIRECTORY)
            try:
                with suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=above)
                    self._own(part, above, self._how.owner or self._ids(0, 0))
            finally:
                os.close(above)
            done = posixpath.join(done, part)
        return open_beneath_root(self._root, path, _DIRECTORY)

    def _make_room(self, entry: tarfile.TarInfo, parent: int, name: bytes) -> bool:
        """Takes away what is in the way; says whether the directory that is to be is there."""
        try:
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return False
        is_directory = stat.S_ISDIR(found.st_mode)
        if is_directory and entry.isdir():
            return True
        if self._how.is_strict and is_directory != entry.isdir():
            old, new = ("directory", "non-directory")[:: 1 if is_directory else -1]
            shown = os.fsdecode(name)
            raise InvalidInputError(f'cannot overwrite {old} "{shown}" with {new} "{entry.name}"')
        if is_directory:
            remove_tree_beneath(parent, name)
        else:
            os.unlink(name, dir_fd=parent)
        return False

    def _make_directory(
        self, entry: tarfile.TarInfo, parent: int, name: bytes, *, is_there: bool
    ) -> None:
        if not is_there:
            os.mkdir(name, 0o700, dir_fd=parent)
        made = os.open(name, _OWN_DIRECTORY, dir_fd=parent)
        try:
            self._finish(entry, made)
        finally:
            os.close(made)

    def _make_file(self, entry: tarfile.TarInfo, parent: int, name: bytes, data: Meter) -> None:
        file = os.open(name, _NEW_FILE, 0o600, dir_fd=parent)
        try:
            data.copy_to(file, entry.size)
            self._finish(entry, file)
            modified = _modified_ns(entry)
            os.utime(file, ns=(modified, modified))
        finally:
            os.close(file)

    def _make_other(self, entry: tarfile.TarInfo, parent: int, name: bytes) -> None:
        if entry.islnk():
            self._link(entry, parent, name)
            return
        if entry.issym():
            os.symlink(os.fsencode(entry.linkname), name, dir_fd=parent)
        else:
            os.mkfifo(name, entry.mode & 0o7777, dir_fd=parent)
        self._own(name, parent, self._owner(entry))

    def _link(self, entry: tarfile.TarInfo, parent: int, name: bytes) -> None:
        above, last = posixpath.split(entry_path(entry.linkname))
        source = open_beneath_root(self._root, above, _DIRECTORY)
        try:
            os.link(last, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        except PermissionError as error:
            raise InvalidInputError(
                f"invalid archive: {entry.linkname!r} cannot have another name: it is a directory"
            ) from error
        finally:
            os.close(source)

    def _finish(self, entry: tarfile.TarInfo, made: int) -> None:
        """Owner first: a change of it takes set-user-id away."""
        os.fchown(made, *self._owner(entry))
        os.fchmod(made, entry.mode & 0o7777)
        for key, value in entry.pax_headers.items():
            attribute = key.removeprefix(_XATTR)
            if key.startswith(_XATTR) and (
                attribute == "security.capability" or attribute.startswith("user.")
            ):
                _set_attribute(made, attribute, value.encode("utf-8", "surrogateescape"))

    def _owner(self, entry: tarfile.TarInfo) -> tuple[int, int]:
        return self._how.owner or self._ids(entry.uid, entry.gid)

    def _ids(self, uid: int, gid: int) -> tuple[int, int]:
        return host_ids(uid, gid, self._how.users, self._how.groups)

    @staticmethod
    def _own(name: bytes, parent: int, owner: tuple[int, int]) -> None:
        os.chown(name, *owner, dir_fd=parent, follow_symlinks=False)

    def _remember(self, path: bytes, entry: tarfile.TarInfo) -> None:
        if len(self._times) < DIRECTORIES_TIMED_MAX:
            self._times[path] = _modified_ns(entry)

    def finish(self) -> None:
        """Gives directories their times, now that nothing more is made in them."""
        for path, modified in self._times.items():
            with suppress(FileNotFoundError, NotADirectoryError):
                held = open_beneath_root(self._root, path, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    os.utime(held, ns=(modified, modified))
                finally:
                    os.close(held)


def _check_kind(entry: tarfile.TarInfo) -> None:
    """Before anything makes room for it."""
    if entry.ischr() or entry.isblk():
        raise NotImplementedHereError(f"{entry.name!r} is a device, which is not copied")
    known = (entry.isdir, entry.isreg, entry.islnk, entry.issym, entry.isfifo)
    if not any(is_it() for is_it in known):
        raise InvalidInputError(f"invalid archive: {entry.name!r} is of unknown type")
    if (entry.issym() or entry.islnk()) and (not entry.linkname or "\0" in entry.linkname):
        raise InvalidInputError(f"invalid archive: {entry.name!r} is a link to nowhere")


def entry_path(name: str) -> bytes:
    """The name of an entry below the directory; a ``/`` at its beginning means that directory, too.

    Raises:
        InvalidInputError: it leads out of it.
    """
    parts = [part for part in os.fsencode(name).split(b"/") if part not in (b"", b".")]
    if b".." in parts or any(b"\0" in part for part in parts):
        raise InvalidInputError(f"invalid archive: {name!r} is outside of the directory")
    return b"/".join(parts)


def host_ids(
    uid: int, gid: int, users: Sequence[IdRun], groups: Sequence[IdRun]
) -> tuple[int, int]:
    """The host's ids of an owner that the container names.

    Raises:
        InvalidInputError: the container's user namespace does not have them.
    """
    user, group = to_outside(uid, users), to_outside(gid, groups)
    if user is None or group is None:
        raise InvalidInputError(f"the container has no owner {uid}:{gid}")
    return user, group


def _modified_ns(entry: tarfile.TarInfo) -> int:
    if not -_TIME_MAX_SECONDS < entry.mtime < _TIME_MAX_SECONDS:
        raise InvalidInputError(f"invalid archive: {entry.name!r} has a time of {entry.mtime}")
    return int(entry.mtime * 1e9)


def _set_attribute(made: int, name: str, value: bytes) -> None:
    """Sets it where the file system has attributes."""
    try:
        os.setxattr(made, name, value)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise


def _said(error: OSError, path: str) -> Exception:
    if error.errno == errno.EROFS:
        return ForbiddenError(f"{path}: mounted volume is marked read-only")
    if error.errno in (errno.EXDEV, errno.ELOOP):
        return InvalidInputError(f"invalid archive: {path!r} leads out of the directory")
    if error.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOENT, errno.ENOTEMPTY):
        return InvalidInputError(f"{path!r}: {error.strerror}", hint="it was changed meanwhile")
    if error.errno in (errno.EBUSY, errno.ENAMETOOLONG):
        return InvalidInputError(f"{path!r}: {error.strerror}")
    return error
