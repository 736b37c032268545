"""Tar archives of files of this machine, made and unpacked as they stream."""

import copy
import os
import stat
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import IO

import click

from cli.swarmctl.copy_paths import Plan

_BLOCK_BYTES = 512
READ_BYTES = 64 * 1024
_SPECIAL_BITS = 0o7000


def packed(path: Path, name: str) -> Iterator[bytes]:
    """A file, or a directory with all that is in it, under another name; links are packed as links.

    Raises:
        OSError: something cannot be read.
        click.ClickException: a file became shorter meanwhile.
    """
    with tarfile.open(fileobj=BytesIO(), mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member, called in _below(path, name):
            if member.is_socket():  # there is nothing in it
                continue
            info = archive.gettarinfo(member, called)
            yield info.tobuf(tarfile.PAX_FORMAT)
            if info.isreg() and info.size:
                yield from _content(member, info.size)
    yield bytes(2 * _BLOCK_BYTES)


def _below(path: Path, name: str) -> Iterator[tuple[Path, str]]:
    yield path, name
    if path.is_dir() and not path.is_symlink():
        for entry in sorted(os.listdir(path)):  # noqa: PTH208 - names
            yield from _below(path / entry, f"{name}/{entry}")


def _content(path: Path, size: int) -> Iterator[bytes]:
    """Exactly so many bytes, and what fills the last block."""
    left = size
    with path.open("rb") as file:
        while left and (chunk := file.read(min(left, READ_BYTES))):
            left -= len(chunk)
            yield chunk
    if left:
        raise click.ClickException(f"{path} became shorter while it was read")
    yield bytes(-size % _BLOCK_BYTES)


def unpack(file: IO[bytes], plan: Plan, *, with_owners: bool) -> int:
    """Unpacks an archive below the plan's directory and nowhere else; gives how many bytes its files have.

    Args:
        file: The archive as it comes. It may come from a container that does not mean well.
        plan: Where, and how it is called there.
        with_owners: Whether users, groups and set-user-id bits are kept; else all is ours.

    Raises:
        click.ClickException: it is damaged, or would write elsewhere.
        OSError: the disk refuses.
    """
    total = 0
    root = Path(plan.directory).resolve()
    try:
        with tarfile.open(fileobj=file, mode="r|", errorlevel=2) as archive:
            archive.extraction_filter = (
                _as_is  # newer Pythons have one of their own, older ones none
            )
            for member in archive:
                if plan.renamed(member.name) == ".":
                    continue  # the directory that is there keeps its mode
                safe = _safe(member, root, plan, with_owners=with_owners)
                archive.extract(safe, root)
                total += member.size if member.isreg() else 0
    except (tarfile.TarError, EOFError) as error:
        raise click.ClickException(f"the archive is damaged: {error}") from None
    return total


def _as_is(member: tarfile.TarInfo, _path: str) -> tarfile.TarInfo:
    return member


def _safe(member: tarfile.TarInfo, root: Path, plan: Plan, *, with_owners: bool) -> tarfile.TarInfo:
    name = plan.renamed(member.name)
    _must_be_inside(root, name, member.name)
    if member.isdev():
        raise click.ClickException(f"{member.name} is a device or a pipe: it is not copied")
    linked = member.linkname
    if member.islnk():
        linked = plan.renamed(linked)
        _must_be_inside(root, linked, member.name)
    _must_fit(root / name, member)
    safe = copy.copy(member)
    safe.name, safe.linkname = name, linked
    if member.islnk() and (root / linked).is_symlink():
        # tarfile would set mode and time of what the link leads to, wherever that is.
        safe.type, safe.linkname = tarfile.SYMTYPE, str((root / linked).readlink())
    if not with_owners:
        safe.uid, safe.gid, safe.uname, safe.gname = os.geteuid(), os.getegid(), "", ""
        safe.mode &= ~_SPECIAL_BITS
    return safe


def _must_be_inside(root: Path, name: str, shown: str) -> None:
    """Through no link that leads out, and by no "..": what is above the entry is where it seems to be."""
    place = root / name
    if ".." in Path(name).parts or not place.parent.resolve().is_relative_to(root):
        raise click.ClickException(f"{shown!r} would be written outside of {root}")


def _must_fit(place: Path, member: tarfile.TarInfo) -> None:
    """Makes room: a link or file that is there gives way, so that nothing is written through it."""
    try:
        mode = place.lstat().st_mode
    except FileNotFoundError:
        return
    if member.isdir() and stat.S_ISDIR(mode):
        return
    if member.isdir() or stat.S_ISDIR(mode):
        kinds = ("directory", "non-directory") if member.isdir() else ("non-directory", "directory")
        raise click.ClickException(f"cannot overwrite {kinds[1]} {str(place)!r} with {kinds[0]}")
    place.unlink()
