"""A rotated log on disk: blocks forwards and backwards, lines to records."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from common.engine_json import from_rfc3339
from worker.containers.log_drivers import LOCAL
from worker.containers.log_lines import LogQuery, LogRecord

BLOCK_BYTES = 64 * 1024
LINE_BYTES_MAX = 1024 * 1024
"""A longer line in the file is damage and is skipped."""
_ROTATED_MAX = 1000
_LETTERS = {b"o": "stdout", b"e": "stderr"}
_DIGITS_MAX = 20
_NANOSECONDS = 10**9


def open_log(path: str) -> list[IO[bytes]]:
    """The files of a log, oldest first; each stays readable when it is rotated or removed meanwhile."""
    files: list[IO[bytes]] = []
    seen = set()
    for number in range(_ROTATED_MAX + 1):
        name = f"{path}.{number}" if number else path
        try:
            file = open(name, "rb")  # noqa: PTH123, SIM115 - the caller closes it
        except FileNotFoundError:
            if number:
                break
            continue
        identity = os.fstat(file.fileno()).st_ino
        if identity in seen:  # rotated between two opens
            file.close()
            continue
        seen.add(identity)
        files.insert(0, file)
    return files


def newer_files(path: str, current: IO[bytes]) -> list[IO[bytes]]:
    """The files that follow ``current`` after rotations, oldest first; all of them when it is no longer there."""
    inode = os.fstat(current.fileno()).st_ino
    files = open_log(path)
    inodes = [os.fstat(file.fileno()).st_ino for file in files]
    if inode not in inodes:
        return files
    place = inodes.index(inode) + 1
    for file in files[:place]:
        file.close()
    return files[place:]


def was_rotated(path: str, current: IO[bytes]) -> bool:
    """Whether the log's newest file is another one by now."""
    try:
        return os.stat(path).st_ino != os.fstat(current.fileno()).st_ino  # noqa: PTH116 - compared with fstat
    except FileNotFoundError:
        return False


def parser_of(driver: str) -> Callable[[bytes], LogRecord | None]:
    """What reads a line of a driver's files; it gives None for damage (a line half written when the machine died)."""
    return _parse_local if driver == LOCAL else _parse_json


def _parse_local(line: bytes) -> LogRecord | None:
    at, _, rest = line.partition(b" ")
    letter, separator, data = rest[:1], rest[1:2], rest[2:]
    stream = _LETTERS.get(letter.lower())
    if not at.isdigit() or len(at) > _DIGITS_MAX or separator != b" " or stream is None:
        return None
    ending = b"\n" if letter.islower() else b""
    return LogRecord(stream=stream, at=int(at) / _NANOSECONDS, data=data + ending)


def _parse_json(line: bytes) -> LogRecord | None:
    try:
        raw = json.loads(line)
        return LogRecord(
            stream=str(raw["stream"]),
            at=from_rfc3339(raw["time"]),
            data=str(raw["log"]).encode("utf-8", "surrogatepass"),
        )
    except (ValueError, KeyError, TypeError):
        return None


def wants(query: LogQuery, record: LogRecord) -> bool:
    """Whether a query asks for this record."""
    if not (query.stdout if record.stream == "stdout" else query.stderr):
        return False
    if query.since and record.at < query.since:
        return False
    return not (query.until and record.at > query.until)


@dataclass(slots=True)
class LineSplitter:
    """Bytes in, complete lines out; what is left waits for more."""

    rest: bytes = b""

    def split(self, block: bytes) -> list[bytes]:
        """The lines that this block completes."""
        *lines, self.rest = (self.rest + block).split(b"\n")
        if len(self.rest) > LINE_BYTES_MAX:
            self.rest = b""
        return lines


def lines_backwards(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Complete lines of a file from its end on, each with the place where it begins; one block in memory."""
    position = file.seek(0, os.SEEK_END)
    rest = b""
    complete = False
    while position > 0:
        size = min(BLOCK_BYTES, position)
        position -= size
        file.seek(position)
        block = file.read(size) + rest
        first, *lines = block.split(b"\n")
        place = position + len(block)
        for line in reversed(lines):
            place -= len(line)
            if complete:
                yield place, line
            complete = True  # what follows the last newline is a line not finished yet
            place -= 1
        rest = first if len(first) <= LINE_BYTES_MAX else b""
    if complete and rest:
        yield 0, rest


def close_all(files: list[IO[bytes]]) -> None:
    """Closes files that are not needed any more."""
    for file in files:
        with suppress(OSError):
            file.close()
