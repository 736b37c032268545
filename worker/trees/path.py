"""A path in a container as ``docker cp`` means it, and what is said of what it leads to. Pure."""

import posixpath
import stat
from dataclasses import dataclass
from typing import Any

from common.engine_json import rfc3339
from common.errors import InvalidInputError

PATH_BYTES_MAX = 4095
_GO_BITS = (
    (stat.S_IFDIR, 1 << 31),
    (stat.S_IFLNK, 1 << 27),
    (stat.S_IFBLK, 1 << 26),
    (stat.S_IFCHR, 1 << 26 | 1 << 21),
    (stat.S_IFIFO, 1 << 25),
    (stat.S_IFSOCK, 1 << 24),
)
_GO_FLAGS = ((stat.S_ISUID, 1 << 23), (stat.S_ISGID, 1 << 22), (stat.S_ISVTX, 1 << 20))


@dataclass(frozen=True, slots=True, kw_only=True)
class TreePath:
    """A path that was asked for."""

    directory: str
    """Absolute; every link of it is followed."""
    name: str
    """In that directory; "." for what the directory itself leads to."""
    shown: str
    """What an archive calls it: its last part, "." or "/"."""

    @property
    def whole(self) -> str:
        """The absolute path."""
        return posixpath.join(self.directory, self.name)


def tree_path(asked: str) -> TreePath:
    """Reads a path. A link at its end is meant itself, unless ``/`` or ``/.`` follows.

    Raises:
        InvalidInputError: it cannot be one.
    """
    if not asked:
        raise InvalidInputError("missing path")
    if "\0" in asked or len(asked.encode("utf-8", "surrogateescape")) > PATH_BYTES_MAX:
        raise InvalidInputError(f"invalid path: {asked[:80]!r} is too long or holds a null byte")
    clean = posixpath.normpath("/" + asked.lstrip("/"))
    if clean == "/":
        return TreePath(directory="/", name=".", shown="/")
    if asked.endswith("/."):
        return TreePath(directory=clean, name=".", shown=".")
    if asked.endswith("/"):
        return TreePath(directory=clean, name=".", shown=posixpath.basename(clean))
    directory, name = posixpath.split(clean)
    return TreePath(directory=directory, name=name, shown=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class PathStat:
    """Engine API ``ContainerPathStat``."""

    name: str
    size: int
    mode: int
    """As stat(2) has it."""
    modified: float
    link_target: str = ""
    """Where a link leads to in the container, absolute."""

    def rendered(self) -> dict[str, Any]:
        """As it goes into ``X-Docker-Container-Path-Stat``."""
        return {
            "name": self.name,
            "size": self.size,
            "mode": go_mode(self.mode),
            "mtime": rfc3339(self.modified),
            "linkTarget": self.link_target,
        }


def go_mode(mode: int) -> int:
    """The mode as Go's ``os.FileMode`` numbers it."""
    kind = next((bits for kind, bits in _GO_BITS if stat.S_IFMT(mode) == kind), 0)
    flags = sum(bits for flag, bits in _GO_FLAGS if mode & flag)
    return kind | flags | mode & 0o777
