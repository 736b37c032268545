"""A directory tree into a tar archive, while a container may change it under our hands.

Nothing is opened by a path: every entry is looked at through a descriptor of its directory, held as O_PATH, and read
through that very descriptor. So a link that takes a file's place is packed as a link, never followed.
"""

import os
import stat
import tarfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from common.errors import SystemFailureError
from worker.kernel.filesystems import is_kernels_own
from worker.kernel.tree_walk import walk
from worker.trees.ids import EVERY_ID, IdRun, to_inside

CHUNK_BYTES = 1024 * 1024
HARDLINKS_MAX = 100_000
"""Files with several names that are remembered; further ones are packed once per name."""
_BLOCK = 512
_END = bytes(2 * _BLOCK)
_XATTRS = ("security.capability",)
_XATTR_PREFIX = "user."
_HELD = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

Write = Callable[[bytes], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ids:
    """Whose ids the archive names."""

    users: tuple[IdRun, ...] = EVERY_ID
    groups: tuple[IdRun, ...] = EVERY_ID


class Packer:
    """Writes entries one after the other; ``finish`` ends the archive."""

    def __init__(self, write: Write, ids: Ids | None = None) -> None:
        self._write, self._ids = write, ids or Ids()
        self._names: dict[tuple[int, int], str] = {}

    def finish(self) -> None:
        """Writes the end."""
        self._write(_END)

    def tree(self, root: int, name: str, *, with_root: bool = True) -> None:
        """Packs a directory and all below it, other mounts too, but nothing of /proc, /sys and their like.

        Raises:
            SystemFailureError: a file shrank while it was read.
            OSError: the disk said no.
        """
        prefix = os.fsencode(name)
        device, own = -1, False
        for path, directory, names in walk(root, cross_mounts=True):
            found = os.fstat(directory)
            if found.st_dev != device:
                device, own = found.st_dev, is_kernels_own(directory)
            if path or with_root:
                self.directory(_join(prefix, path), directory, found)
            if own:
                names.clear()
            for one in names:
                self.below(directory, one, _join(_join(prefix, path), one))

    def below(self, directory: int, name: bytes, shown: bytes) -> None:
        """Packs what a directory has under a name, unless it is a directory itself, or gone."""
        try:
            held = os.open(name, _HELD, dir_fd=directory)
        except FileNotFoundError:
            return
        try:
            found = os.fstat(held)
            if not stat.S_ISDIR(found.st_mode):
                self.held(held, found, shown)
        finally:
            os.close(held)

    def held(self, held: int, found: os.stat_result, shown: bytes) -> None:
        """Packs what a descriptor stands for, which is no directory; of a socket nothing, for archives have none."""
        if stat.S_ISSOCK(found.st_mode):
            return
        entry = self._entry(shown, found)
        if stat.S_ISLNK(found.st_mode):
            entry.type, entry.linkname = tarfile.SYMTYPE, os.readlink("", dir_fd=held)
            self.entry(entry)
        elif stat.S_ISREG(found.st_mode):
            self._file(entry, held, found)
        else:
            entry.type = _TYPES[stat.S_IFMT(found.st_mode)]
            if entry.type != tarfile.FIFOTYPE:
                entry.devmajor, entry.devminor = os.major(found.st_rdev), os.minor(found.st_rdev)
            self.entry(entry)

    def directory(self, shown: bytes, directory: int, found: os.stat_result) -> None:
        """Packs a directory by itself."""
        entry = self._entry(shown, found)
        entry.type = tarfile.DIRTYPE
        _add_xattrs(entry, directory)
        self.entry(entry)

    def entry(self, entry: tarfile.TarInfo) -> None:
        """Writes an entry without content."""
        self._write(entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))

    def _entry(self, shown: bytes, found: os.stat_result) -> tarfile.TarInfo:
        entry = tarfile.TarInfo(os.fsdecode(shown))
        entry.mode = stat.S_IMODE(found.st_mode)
        entry.uid = to_inside(found.st_uid, self._ids.users)
        entry.gid = to_inside(found.st_gid, self._ids.groups)
        entry.mtime = int(found.st_mtime)
        return entry

    def _file(self, entry: tarfile.TarInfo, held: int, found: os.stat_result) -> None:
        key = (found.st_dev, found.st_ino)
        if found.st_nlink > 1 and key in self._names:
            entry.type, entry.linkname = tarfile.LNKTYPE, self._names[key]
            self.entry(entry)
            return
        if found.st_nlink > 1 and len(self._names) < HARDLINKS_MAX:
            self._names[key] = entry.name
        file = os.open(f"/proc/self/fd/{held}", _READ)  # the very file that was looked at
        try:
            entry.size = os.fstat(file).st_size
            _add_xattrs(entry, file)
            self.entry(entry)
            self._content(file, entry.size, entry.name)
        finally:
            os.close(file)

    def _content(self, file: int, size: int, name: str) -> None:
        left = size
        while left:
            data = os.read(file, min(left, CHUNK_BYTES))
            if not data:
                raise SystemFailureError(f"{name!r} shrank while it was read")
            left -= len(data)
            self._write(data)
        self._write(bytes(-size % _BLOCK))


_TYPES = {
    stat.S_IFIFO: tarfile.FIFOTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
}


def _join(above: bytes, name: bytes) -> bytes:
    if not above or not name:
        return above or name
    return above + name if above.endswith(b"/") else above + b"/" + name


def _add_xattrs(entry: tarfile.TarInfo, descriptor: int) -> None:
    found = {}
    with suppress(OSError):  # a file system without attributes has none
        for name in os.listxattr(descriptor):
            if name in _XATTRS or name.startswith(_XATTR_PREFIX):
                value = os.getxattr(descriptor, name)
                found[f"SCHILY.xattr.{name}"] = value.decode("utf-8", "surrogateescape")
    entry.pax_headers = found
