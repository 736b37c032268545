"""What a container says, as lines in a rotated file: of Docker's json-file format, or of our own ("local").

The file is ``path``; older ones are ``path.1``, ``path.2``, … A line longer than ``LINE_MAX`` is cut into entries,
of which only the last ends with a newline, as Docker does.

A line of the local format is the time in nanoseconds, a letter, and the bytes as they are:
``1700000000123456789 o hello``. The letter is ``o`` or ``e`` for stdout or stderr, a capital one when the entry
does not end with a newline.
"""

import os
import time
from _json import encode_basestring  # what ``json`` itself uses; the package would import ``re``

LINE_MAX = 16 * 1024
_NEWLINE = b"\n"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Attributes = Sequence[tuple[str, str]]
    """What a driver says with each entry; of the file formats only json-file does."""
    Rule = tuple[str, int, int, str, Attributes]
    """Path, bytes and number of files, driver, attributes."""

_UTF8_BYTES_MAX = 4
_UTF8_MASK = 0xC0
_UTF8_INSIDE = 0x80
"""The top two bits of a byte that is inside a character."""
_NANOSECONDS = 1_000_000_000


def cut_lines(pending: bytes, piece: bytes) -> tuple[list[bytes], bytes]:
    """Entries that are complete, and what waits for the rest of its line."""
    *lines, rest = (pending + piece).split(_NEWLINE)
    entries: list[bytes] = []
    for line in lines:
        if len(line) < LINE_MAX:
            entries.append(line + _NEWLINE)
        else:
            parts, last = _cut_long(line + _NEWLINE)
            entries += [*parts, last]
    if len(rest) > LINE_MAX:
        parts, rest = _cut_long(rest)
        entries += parts
    return entries, rest


def _cut_long(line: bytes) -> tuple[list[bytes], bytes]:
    """Pieces of at most ``LINE_MAX``, cut between characters where the text is UTF-8."""
    parts = []
    start = 0
    while len(line) - start > LINE_MAX:
        end = start + LINE_MAX
        for back in range(_UTF8_BYTES_MAX):
            if line[end - back] & _UTF8_MASK != _UTF8_INSIDE:
                end -= back
                break
        parts.append(line[start:end])
        start = end
    return parts, line[start:]


def format_time(at_ns: int) -> str:
    """RFC 3339 with nanoseconds, in UTC."""
    seconds, rest = divmod(at_ns, _NANOSECONDS)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z"


def json_lines(
    entries: list[bytes], stream: str, at_ns: int, attributes: "Attributes"
) -> list[bytes]:
    """Lines of Docker's json-file format, of one moment."""
    ending = _json_ending(stream, at_ns, attributes)
    return [_json_line(entry, ending) for entry in entries]


def _json_line(entry: bytes, ending: str) -> bytes:
    return f'{{"log":{encode_basestring(entry.decode(errors="replace"))}{ending}'.encode(
        errors="replace"
    )


def _json_ending(stream: str, at_ns: int, attributes: "Attributes") -> str:
    attrs = ""
    if attributes:
        pairs = (
            f"{encode_basestring(key)}:{encode_basestring(value)}" for key, value in attributes
        )
        attrs = f',"attrs":{{{",".join(pairs)}}}'
    return f',"stream":"{stream}"{attrs},"time":"{format_time(at_ns)}"}}\n'


def local_lines(
    entries: list[bytes], stream: str, at_ns: int, _attributes: "Attributes"
) -> list[bytes]:
    """Lines of the local format, of one moment."""
    letter = stream[3]  # "stdout", "stderr"
    whole, partial = f"{at_ns} {letter} ".encode(), f"{at_ns} {letter.upper()} ".encode()
    return [
        whole + entry if entry.endswith(_NEWLINE) else partial + entry + _NEWLINE
        for entry in entries
    ]


JSON_FILE = "json-file"
FORMATS = {JSON_FILE: json_lines, "local": local_lines}


class LogFile:
    """A file of lines that is rotated when it has grown to ``max_bytes``."""

    __slots__ = (
        "_attributes",
        "_fd",
        "_max_bytes",
        "_max_files",
        "_path",
        "_size",
        "driver",
        "lost_entries",
    )

    def __init__(
        self,
        path: str,
        max_bytes: int,
        max_files: int,
        driver: str = JSON_FILE,
        attributes: "Attributes" = (),
    ) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._max_files = max_files
        self.driver = driver
        self._attributes = attributes
        self.lost_entries = 0
        """Entries that the disk did not take."""
        self._fd = _open(path)
        self._size = os.fstat(self._fd).st_size

    @property
    def rule(self) -> "Rule":
        """What it was made with."""
        return self._path, self._max_bytes, self._max_files, self.driver, self._attributes

    def write(self, stream: str, entries: list[bytes], at_ns: int) -> None:
        """Appends entries of one moment. The disk's refusal costs these, not the container."""
        lines = FORMATS[self.driver](entries, stream, at_ns, self._attributes)
        total = sum(map(len, lines))
        try:
            if self._max_bytes <= 0 or self._size + total <= self._max_bytes:
                self._append(b"".join(lines))
                return
            for line in lines:
                if self._size and self._size + len(line) > self._max_bytes:
                    self._rotate()
                self._append(line)
        except OSError:
            self.lost_entries += len(lines)

    def _append(self, content: bytes) -> None:
        view = memoryview(content)
        while view:
            written = os.write(self._fd, view)
            self._size += written
            view = view[written:]

    def _rotate(self) -> None:
        for number in range(self._max_files - 1, 0, -1):
            older = self._path if number == 1 else f"{self._path}.{number - 1}"
            try:
                os.rename(older, f"{self._path}.{number}")
            except FileNotFoundError:
                continue
        if self._max_files <= 1:
            os.unlink(self._path)  # Not truncated: who follows the log notices another file.
        fd = _open(self._path)
        os.close(self._fd)
        self._fd = fd
        self._size = 0

    def close(self) -> None:
        """Nothing more comes."""
        os.close(self._fd)


def _open(path: str) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.open(path, flags, 0o640)
