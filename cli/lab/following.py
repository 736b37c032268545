"""The end of a file, and what is appended to it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cli.lab.waiting import Stopwatch

PIECE_BYTES = 64 * 1024
LOOK_AGAIN_SECONDS = 0.1


def last_lines(path: Path, count: int | None) -> Iterator[bytes]:
    """So many lines at the end of a file, in pieces; all of it without a number.

    Raises:
        OSError: there is no such file.
    """
    with path.open("rb") as file:
        if count is not None:
            file.seek(_start_of_last(file, count))
        yield from iter(lambda: file.read(PIECE_BYTES), b"")


def follow(path: Path, count: int | None, stopwatch: Stopwatch | None = None) -> Iterator[bytes]:
    """The same, and what is appended from then on, until the file is taken away.

    Raises:
        OSError: there is no such file.
    """
    watch = stopwatch or Stopwatch()
    with path.open("rb") as file:
        if count is not None:
            file.seek(_start_of_last(file, count))
        while True:
            piece = file.read(PIECE_BYTES)
            if piece:
                yield piece
            elif os.fstat(file.fileno()).st_nlink == 0:
                return
            else:
                watch.sleep(LOOK_AGAIN_SECONDS)


def _start_of_last(file: BinaryIO, count: int) -> int:
    """Where the last lines begin; a line that is not ended yet is one."""
    end = file.seek(0, os.SEEK_END)
    wanted, place = count, end
    while place > 0 and wanted >= 0:
        start = max(0, place - PIECE_BYTES)
        file.seek(start)
        piece = file.read(place - start)
        if place == end and piece.endswith(b"\n"):
            wanted += 1  # the end of the last line begins no further one
        found = len(piece)
        while wanted > 0 and (found := piece.rfind(b"\n", 0, found)) >= 0:
            wanted -= 1
        if wanted == 0:
            return start + found + 1 if found >= 0 else end
        place = start
    return 0
