"""Saved clusters as files: written whole or not at all, readable by their owner only, checked before they are used."""

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import click

from cli.swarmctl import shown
from common.errors import SwarmdError
from common.files import sync_directory
from common.saved_cluster import SavedCluster, SavedHead

NEW_SUFFIX = ".new"
"""How the name of a file ends until it is whole."""
REDRAW_BYTES = 1024 * 1024


def save(path: Path, pieces: Iterable[bytes]) -> tuple[SavedHead, int]:
    """Writes a saved cluster beside its name, checks it, renames it; gives its head and its size.

    Raises:
        click.ClickException: what came is damaged or incomplete; the file that was there before is still there.
        OSError: the disk refused.
    """
    descriptor, name = tempfile.mkstemp(NEW_SUFFIX, f".{path.name}.", path.parent)  # mode 0600
    fresh = Path(name)
    try:
        with open(descriptor, "w+b") as file:  # noqa: PTH123 - of a descriptor, for its mode
            file.writelines(_shown(pieces))
            file.flush()
            os.fsync(descriptor)
            file.seek(0)
            head, size = check(file)
        fresh.replace(path)
    except BaseException:
        fresh.unlink()
        raise
    sync_directory(path.parent)
    return head, size


def check(file: IO[bytes]) -> tuple[SavedHead, int]:
    """Reads a saved cluster to its end; gives its head and its size.

    Raises:
        click.ClickException: it is none, or is damaged.
    """
    try:
        saved = SavedCluster(file)
        saved.check()
    except SwarmdError as error:
        raise click.ClickException(str(error)) from None
    return saved.head, saved.bytes


def _shown(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces; on a terminal it shows how many bytes have come."""
    if not sys.stderr.isatty():
        yield from pieces
        return
    count = drawn = 0
    for piece in pieces:
        yield piece
        count += len(piece)
        if count - drawn >= REDRAW_BYTES:
            drawn = count
            click.echo(f"\r{shown.size(count)}", nl=False, err=True)
    click.echo("\r" + " " * 20 + "\r", nl=False, err=True)
