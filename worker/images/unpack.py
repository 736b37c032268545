"""A layer's tar into a directory, as overlayfs wants it, without ever leaving that directory."""

import errno
import os
import shutil
import stat
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from worker.images.archive import BadArchiveError, Meter, bad_archive, entries, plain
from worker.images.entry import Entry, Kind, entry_of
from worker.images.limits import Limits
from worker.kernel.paths import open_in_root

OPEN_DIRECTORIES_MAX = 64
_OPAQUE_XATTR = "trusted.overlay.opaque"
_ARCHIVES_FAULT = frozenset(
    {errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG}
)
"""What the kernel says when an entry contradicts the entries before it."""
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_PATH | os.O_DIRECTORY


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """What a layer turned out to be."""

    diff_id: str
    """Digest of the uncompressed tar."""
    size_bytes: int
    """Of its regular files."""


def unpack(source: IO[bytes], directory: str, limits: Limits, *, marked_end: bool) -> Unpacked:
    """Extracts a layer, compressed or not, into an empty directory.

    ``marked_end`` insists on the block that closes a tar, for archives that no digest vouches for.

    Raises:
        BadArchiveError: damaged, dangerous or too large; the directory holds a part of it then.
        OSError: the disk said no.
    """
    with bad_archive():
        return _unpack(plain(source), directory, limits, marked_end=marked_end)


def _unpack(source: IO[bytes], directory: str, limits: Limits, *, marked_end: bool) -> Unpacked:
    meter = Meter(source, bytes_max=limits.layer_bytes, hashed=True)
    layer = _Layer(directory)
    try:
        size = 0
        for member in entries(meter, entries_max=limits.layer_entries):
            entry = entry_of(member)
            size += entry.size
            if size > limits.layer_bytes:
                raise BadArchiveError(f"the layer holds more than {limits.layer_bytes} bytes")
            layer.make(entry, meter)
        layer.finish()
    finally:
        layer.close()
    meter.check_end(marked=marked_end)
    return Unpacked(diff_id=meter.finish(), size_bytes=size)


class _Layer:
    """The directory that a layer is extracted into."""

    def __init__(self, directory: str) -> None:
        self._root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._open: OrderedDict[bytes, int] = OrderedDict()
        self._modified: dict[bytes, int] = {}

    def make(self, entry: Entry, data: Meter) -> None:
        """Makes one entry; ``data`` stands at a file's content."""
        try:
            self._make(entry, data)
        except OSError as error:
            if error.errno is None:
                raise
            what = f"{entry.kind.value} {os.fsdecode(entry.path)!r}"
            if error.errno in _ARCHIVES_FAULT:
                raise BadArchiveError(f"invalid archive: {what}: {error.strerror}") from error
            raise OSError(error.errno, f"{what}: {error.strerror}") from error

    def _make(self, entry: Entry, data: Meter) -> None:
        parent_path, _, name = entry.path.rpartition(b"/")
        match entry.kind:
            case Kind.NOTHING:
                pass
            case Kind.OPAQUE:
                _mark_opaque(self._directory(entry.path))
            case Kind.DIRECTORY:
                self._make_directory(entry)
            case Kind.WHITEOUT:
                with suppress(FileExistsError):  # the same layer has the file: it counts
                    os.mknod(name, stat.S_IFCHR, 0, dir_fd=self._directory(parent_path))
            case _:
                if self._clear(self._directory(parent_path), name):
                    self._forget()
                self._make_file(entry, self._directory(parent_path), name, data)

    def _make_file(self, entry: Entry, parent: int, name: bytes, data: Meter) -> None:
        match entry.kind:
            case Kind.FILE:
                _write_file(parent, name, entry, data)
                return
            case Kind.HARDLINK:
                self._link(entry.target, parent, name)
                return
            case Kind.SYMLINK:
                os.symlink(entry.target, name, dir_fd=parent)
            case _:
                os.mkfifo(name, entry.mode, dir_fd=parent)
        os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)

    def _make_directory(self, entry: Entry) -> None:
        parent_path, _, name = entry.path.rpartition(b"/")
        if name:
            self._add_directory(parent_path, name)
        parent = self._directory(parent_path)
        made = os.open(name or b".", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
        try:
            os.fchown(made, entry.uid, entry.gid)
            os.fchmod(made, entry.mode)
            for key, value in entry.xattrs:
                os.setxattr(made, key, value)
        finally:
            os.close(made)
        self._modified[entry.path] = entry.modified_ns

    def _add_directory(self, parent_path: bytes, name: bytes) -> None:
        parent = self._directory(parent_path)
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                return
            self._clear(parent, name)
            self._forget()
            parent = self._directory(parent_path)
            os.mkdir(name, 0o700, dir_fd=parent)
            if stat.S_ISCHR(found.st_mode):  # the layer first hid what was there below
                made = open_in_root(parent, name, _DIRECTORY)
                _mark_opaque(made)
                os.close(made)

    def _link(self, target: bytes, parent: int, name: bytes) -> None:
        target_parent, _, target_name = target.rpartition(b"/")
        try:
            source = open_in_root(self._root, target_parent, _DIRECTORY)
        except FileNotFoundError:
            raise BadArchiveError(
                f"invalid archive: hard link to {os.fsdecode(target)!r}, which is not in this layer"
            ) from None
        try:
            os.link(target_name, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        except PermissionError:
            raise BadArchiveError(
                f"invalid archive: hard link to the directory {os.fsdecode(target)!r}"
            ) from None
        finally:
            os.close(source)

    @staticmethod
    def _clear(parent: int, name: bytes) -> bool:
        """Removes what stands in the way; says whether something did: open descriptors may be of it then."""
        try:
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return False
        if stat.S_ISDIR(found.st_mode):
            shutil.rmtree(os.fsdecode(name), dir_fd=parent)
        else:
            os.unlink(name, dir_fd=parent)
        return True

    def _directory(self, path: bytes) -> int:
        """A descriptor of a directory of the layer, made when it is missing; kept open for the next entries."""
        known = self._open.get(path)
        if known is not None:
            self._open.move_to_end(path)
            return known
        if len(self._open) >= OPEN_DIRECTORIES_MAX:
            os.close(self._open.popitem(last=False)[1])
        opened = self._open[path] = self._open_directory(path)
        return opened

    def _open_directory(self, path: bytes) -> int:
        with suppress(FileNotFoundError):
            return open_in_root(self._root, path, _DIRECTORY)
        done = b""
        for part in path.split(b"/"):
            above = open_in_root(self._root, done, _DIRECTORY)
            try:
                with suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=above)
            finally:
                os.close(above)
            done = done + b"/" + part if done else part
        return open_in_root(self._root, path, _DIRECTORY)

    def finish(self) -> None:
        """Gives directories their times, now that nothing more is made in them."""
        for path, modified_ns in self._modified.items():
            with suppress(FileNotFoundError, NotADirectoryError):  # replaced later in the layer
                held = open_in_root(self._root, path, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    os.utime(held, ns=(modified_ns, modified_ns))
                finally:
                    os.close(held)

    def _forget(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])

    def close(self) -> None:
        """Closes every descriptor."""
        self._forget()
        os.close(self._root)


def _write_file(parent: int, name: bytes, entry: Entry, data: Meter) -> None:
    file = os.open(name, _NEW_FILE, 0o600, dir_fd=parent)
    try:
        data.copy_to(file, entry.size)
        os.fchown(file, entry.uid, entry.gid)
        os.fchmod(file, entry.mode)
        for key, value in entry.xattrs:
            os.setxattr(file, key, value)
        os.utime(file, ns=(entry.modified_ns, entry.modified_ns))
    finally:
        os.close(file)


def _mark_opaque(directory: int) -> None:
    os.setxattr(f"/proc/self/fd/{directory}", _OPAQUE_XATTR, b"y")
