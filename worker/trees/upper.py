"""What a container has changed: its writable layer against the layers below it, as a list and as a layer's archive.

The writable layer is read as overlayfs keeps it: a character device 0:0 hides a name, and a directory with an attribute
hides all that is below it in other layers.
"""

import errno
import json
import os
import stat
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum

from common.errors import SystemFailureError
from worker.kernel.tree_walk import open_beneath, walk
from worker.trees.pack import Packer, Write

_OPAQUE = "trusted.overlay.opaque"
_REDIRECTED = "trusted.overlay.redirect"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_MADE_BY_US = frozenset({b"proc", b"sys", b"dev"})
_WRITTEN_BY_US = frozenset({b"etc/hosts", b"etc/hostname", b"etc/resolv.conf"})
_THEIR_DIRECTORY = b"etc"


class Kind(IntEnum):
    """Docker's numbers."""

    MODIFIED = 0
    ADDED = 1
    DELETED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One name that a container's tree has, has not, or has otherwise."""

    kind: Kind
    path: bytes
    """Below the root."""
    hides_below: bool = False
    """A directory that hides what the layers below have in it."""
    is_hidden: bool = False
    """It is deleted by that: its directory says so already."""


def changes(upper: int, lower: int) -> Iterator[tuple[Change, int, bytes]]:
    """Every change, directories before what is in them; with a descriptor of its directory, and its name there.

    What the runtime itself puts into every container (``/proc``, ``/etc/hosts``, …) is none.

    Raises:
        SystemFailureError: the layer was written in a way that cannot be told apart.
        OSError: the disk said no.
    """
    for path, directory, names in walk(upper):
        below = _open_below(lower, path)
        try:
            for name in list(names):
                whole = path + b"/" + name if path else name
                change = _change(directory, name, whole, _stat(below, name))
                if change is None or _holds_only_ours(directory, below, name, whole):
                    names.remove(name)
                    continue
                yield change, directory, name
            if path and below >= 0 and _has(directory, _OPAQUE):
                yield from _hidden(directory, below, path)
        finally:
            if below >= 0:
                os.close(below)


def _change(
    directory: int, name: bytes, path: bytes, before: os.stat_result | None
) -> Change | None:
    found = _stat(directory, name)
    if found is None:
        return None
    if stat.S_ISCHR(found.st_mode) and found.st_rdev == 0:
        return Change(kind=Kind.DELETED, path=path)
    if before is None and _is_ours(directory, name, path, found):
        return None
    hides = False
    if stat.S_ISDIR(found.st_mode):
        held = open_beneath(directory, name, _DIRECTORY)
        try:
            if _has(held, _REDIRECTED):
                raise SystemFailureError(
                    f"{os.fsdecode(path)!r} was renamed in a way that this kernel keeps for itself",
                    hint="turn the overlay module's redirect_dir off",
                )
            hides = before is not None and _has(held, _OPAQUE)
        finally:
            os.close(held)
    kind = Kind.ADDED if before is None else Kind.MODIFIED
    return Change(kind=kind, path=path, hides_below=hides)


def _hidden(directory: int, below: int, path: bytes) -> Iterator[tuple[Change, int, bytes]]:
    with os.scandir(directory) as there, os.scandir(below) as before:
        gone = {os.fsencode(one.name) for one in before} - {os.fsencode(one.name) for one in there}
    for name in sorted(gone):
        yield Change(kind=Kind.DELETED, path=path + b"/" + name, is_hidden=True), directory, name


def _is_ours(directory: int, name: bytes, path: bytes, found: os.stat_result) -> bool:
    if path in _WRITTEN_BY_US:
        return stat.S_ISREG(found.st_mode) and found.st_size == 0
    if path not in _MADE_BY_US or not stat.S_ISDIR(found.st_mode):
        return False
    held = open_beneath(directory, name, _DIRECTORY)
    try:
        with os.scandir(held) as names:
            return next(names, None) is None
    finally:
        os.close(held)


def _holds_only_ours(directory: int, below: int, name: bytes, path: bytes) -> bool:
    """Whether a directory is in the layer for nothing but the files that we put there."""
    found, before = _stat(directory, name), _stat(below, name)
    if path != _THEIR_DIRECTORY or found is None or not stat.S_ISDIR(found.st_mode):
        return False
    if before is not None and _owner_and_mode(before) != _owner_and_mode(found):
        return False
    held = open_beneath(directory, name, _DIRECTORY)
    under = _open_below(below, name) if before is not None else -1
    try:
        with os.scandir(held) as there:
            names = [os.fsencode(one.name) for one in there]
        return (
            bool(names)
            and not _has(held, _OPAQUE)
            and all(_is_our_file(held, under, one, path + b"/" + one) for one in names)
        )
    finally:
        os.close(held)
        if under >= 0:
            os.close(under)


def _is_our_file(directory: int, below: int, name: bytes, path: bytes) -> bool:
    found = _stat(directory, name)
    return (
        path in _WRITTEN_BY_US
        and found is not None
        and _stat(below, name) is None
        and _is_ours(directory, name, path, found)
    )


def _owner_and_mode(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_mode, found.st_uid, found.st_gid


def _stat(directory: int, name: bytes) -> os.stat_result | None:
    if directory < 0:
        return None
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _open_below(lower: int, path: bytes) -> int:
    with suppress(FileNotFoundError, NotADirectoryError):
        try:
            return open_beneath(lower, path, _DIRECTORY)
        except OSError as error:
            if error.errno != errno.ELOOP:  # a link there is no directory
                raise
    return -1


def _has(descriptor: int, attribute: str) -> bool:
    try:
        return bool(os.getxattr(descriptor, attribute))
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP):
            return False
        raise


# --------------------------------------------------------------------------------- as they are told


def write_changes(upper: int, lower: int, write: Write) -> None:
    """A JSON list of ``FilesystemChange``, written as it is found."""
    start = b"["
    for change, _, _ in changes(upper, lower):
        path = "/" + change.path.decode("utf-8", "replace")
        write(start + json.dumps({"Path": path, "Kind": int(change.kind)}).encode())
        start = b","
    write(b"[]\n" if start == b"[" else b"]\n")


def write_layer(upper: int, lower: int, write: Write) -> None:
    """A layer's archive: what was deleted is said by empty files, ``.wh.name`` and ``.wh..wh..opq``."""
    packer = Packer(write)
    for change, directory, name in changes(upper, lower):
        above, _, last = change.path.rpartition(b"/")
        if change.kind is Kind.DELETED:
            if not change.is_hidden:
                _mark(packer, above, b".wh." + last)
            continue
        found = _stat(directory, name)
        if found is None:
            continue
        if stat.S_ISDIR(found.st_mode):
            held = open_beneath(directory, name, _DIRECTORY)
            try:
                packer.directory(change.path, held, os.fstat(held))
            finally:
                os.close(held)
            if change.hides_below:
                _mark(packer, change.path, b".wh..wh..opq")
        elif stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
            raise SystemFailureError(
                f"/{os.fsdecode(change.path)} is a device, which no image holds"
            )
        else:
            packer.below(directory, name, change.path)
    packer.finish()


def _mark(packer: Packer, above: bytes, name: bytes) -> None:
    packer.entry(tarfile.TarInfo(os.fsdecode(above + b"/" + name if above else name)))
