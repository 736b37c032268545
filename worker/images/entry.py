"""What one entry of a layer may be: pure checks of names, links and kinds."""

import tarfile
from dataclasses import dataclass
from enum import Enum

from worker.images.archive import BadArchiveError

PATH_BYTES_MAX = 4095
NAME_BYTES_MAX = 255
ID_MAX = 2**32 - 2
"""The largest user or group id."""
_WHITEOUT = b".wh."
_OPAQUE = b".wh..wh..opq"
_XATTR = "SCHILY.xattr."
_TIME_MAX_SECONDS = 2**33


class Kind(Enum):
    """What to make."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symbolic link"
    HARDLINK = "hard link"
    FIFO = "fifo"
    WHITEOUT = "whiteout"
    OPAQUE = "opaque directory"
    NOTHING = "nothing"
    """An entry that says nothing about the file system: its root's twin, a leftover of aufs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing to make below a layer's root. Paths are relative, without ``.`` and ``..``."""

    kind: Kind
    path: bytes = b""
    target: bytes = b""
    """Of a symbolic link as written; of a hard link a path below the root."""
    size: int = 0
    mode: int = 0
    uid: int = 0
    gid: int = 0
    modified_ns: int = 0
    xattrs: tuple[tuple[str, bytes], ...] = ()


def entry_of(member: tarfile.TarInfo) -> Entry:
    """Reads one entry of a layer's tar.

    Raises:
        BadArchiveError: it names a path outside the layer, is a device, or cannot be.
    """
    path = safe_path(member.name)
    parent, _, name = path.rpartition(b"/")
    if name.startswith(_WHITEOUT):
        return _whiteout(parent, name)
    kind, target = _kind(member), b""
    if kind is Kind.HARDLINK:
        target = safe_path(member.linkname)
    elif kind is Kind.SYMLINK:
        target = _symlink_target(parent, member)
    if not path and kind is not Kind.DIRECTORY:
        raise BadArchiveError(f"invalid archive: {member.name!r} is not a file's name")
    if not (0 <= member.uid <= ID_MAX and 0 <= member.gid <= ID_MAX):
        raise BadArchiveError(
            f"invalid archive: {member.name!r} has owner {member.uid}:{member.gid}"
        )
    return Entry(
        kind=kind,
        path=path,
        target=target,
        size=member.size if kind is Kind.FILE else 0,
        mode=member.mode & 0o7777,
        uid=member.uid,
        gid=member.gid,
        modified_ns=_modified_ns(member.mtime),
        xattrs=_xattrs(member),
    )


def safe_path(name: str) -> bytes:
    """A name of an archive as a relative path without ``.``; the root is empty.

    Raises:
        BadArchiveError: absolute, with ``..``, or too long.
    """
    raw = name.encode("utf-8", "surrogateescape")
    if raw.startswith(b"/"):
        raise BadArchiveError(f"invalid archive: {name!r} is an absolute path")
    parts = [part for part in raw.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise BadArchiveError(f"invalid archive: {name!r} leads out of the image")
    path = b"/".join(parts)
    if len(path) > PATH_BYTES_MAX or b"\0" in path or any(len(p) > NAME_BYTES_MAX for p in parts):
        raise BadArchiveError(f"invalid archive: the path {name[:80]!r}… is too long or malformed")
    return path


def _whiteout(parent: bytes, name: bytes) -> Entry:
    if name == _OPAQUE:
        return Entry(kind=Kind.OPAQUE, path=parent)
    hidden = name[len(_WHITEOUT) :]
    if hidden.startswith(_WHITEOUT):
        return Entry(kind=Kind.NOTHING)
    if hidden in (b"", b".", b".."):
        raise BadArchiveError(f"invalid archive: {name!r} hides nothing that can be")
    return Entry(kind=Kind.WHITEOUT, path=b"/".join(filter(None, (parent, hidden))))


def _kind(member: tarfile.TarInfo) -> Kind:
    if member.ischr() or member.isblk():
        raise BadArchiveError(f"invalid archive: {member.name!r} is a device node")
    tests = (
        (member.isreg, Kind.FILE),
        (member.isdir, Kind.DIRECTORY),
        (member.issym, Kind.SYMLINK),
        (member.islnk, Kind.HARDLINK),
        (member.isfifo, Kind.FIFO),
    )
    for test, kind in tests:
        if test():
            return kind
    raise BadArchiveError(f"invalid archive: {member.name!r} is of unknown type {member.type!r}")


def _symlink_target(parent: bytes, member: tarfile.TarInfo) -> bytes:
    target = member.linkname.encode("utf-8", "surrogateescape")
    if not target or len(target) > PATH_BYTES_MAX or b"\0" in target:
        raise BadArchiveError(f"invalid archive: {member.name!r} is a link to nowhere")
    if target.startswith(b"/"):
        return target  # in a container it starts at the container's own root
    depth = parent.count(b"/") + 1 if parent else 0
    for part in target.split(b"/"):
        depth += {b"..": -1, b".": 0, b"": 0}.get(part, 1)
        if depth < 0:
            raise BadArchiveError(
                f"invalid archive: the link {member.name!r} leads out of the image"
            )
    return target


def _modified_ns(seconds: float) -> int:
    if not -_TIME_MAX_SECONDS < seconds < _TIME_MAX_SECONDS:  # false for NaN as well
        raise BadArchiveError(f"invalid archive: a modification time of {seconds}")
    return int(seconds * 1e9)


def _xattrs(member: tarfile.TarInfo) -> tuple[tuple[str, bytes], ...]:
    found = []
    for key, value in member.pax_headers.items():
        name = key.removeprefix(_XATTR)
        if name.startswith("trusted."):
            raise BadArchiveError(f"invalid archive: {member.name!r} sets the attribute {name}")
        if key.startswith(_XATTR) and (name == "security.capability" or name.startswith("user.")):
            found.append((name, value.encode("utf-8", "surrogateescape")))
    return tuple(found)
