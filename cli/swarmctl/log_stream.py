"""Docker's multiplexed stream of logs or of an attached container into stdout and stderr. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import unquote_plus

_HEADER_BYTES = 8
MAX_FRAME_BYTES = 16 * 1024 * 1024
SYSTEM_ERROR = 3
"""The stream by which the daemon says that it cannot go on."""


class StreamError(ValueError):
    """The stream is not multiplexed, ends in the middle of a frame, or says that reading failed."""


class Demultiplexer:
    """Takes a multiplexed stream as it comes (Engine API, "Stream format")."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> Iterator[tuple[int, bytes]]:
        """The frames that are complete now, as ``(1 or 2, payload)``.

        Raises:
            StreamError: it is not multiplexed, or says that reading failed.
        """
        buffer = self._buffer
        buffer += chunk
        while len(buffer) >= _HEADER_BYTES:
            length = int.from_bytes(buffer[4:8], "big")
            if buffer[0] > SYSTEM_ERROR or any(buffer[1:4]) or length > MAX_FRAME_BYTES:
                raise StreamError("the output is not in Docker's stream format")
            if len(buffer) < _HEADER_BYTES + length:
                break
            payload = bytes(buffer[_HEADER_BYTES : _HEADER_BYTES + length])
            if buffer[0] == SYSTEM_ERROR:
                raise StreamError(f"reading the output failed: {payload.decode(errors='replace')}")
            yield buffer[0], payload
            del buffer[: _HEADER_BYTES + length]

    def end(self) -> None:
        """Nothing more comes.

        Raises:
            StreamError: the last frame is not complete.
        """
        if self._buffer:
            raise StreamError("the output ended in the middle of a line")


def frames(chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Splits a multiplexed stream into ``(1 or 2, payload)``.

    Raises:
        StreamError: it is not multiplexed, it is cut off, or it ends with an error.
    """
    parts = Demultiplexer()
    for chunk in chunks:
        yield from parts.feed(chunk)
    parts.end()


def split_details(line: bytes, *, timestamps: bool) -> tuple[bytes, Mapping[str, str], bytes]:
    """A line asked for with its details: ``(timestamp or nothing, details, text)``."""
    stamp = b""
    if timestamps:
        stamp, _, line = line.partition(b" ")
    words, _, text = line.partition(b" ")
    details: dict[str, str] = {}
    for item in words.decode(errors="replace").split(","):
        key, sign, value = item.partition("=")
        if sign:
            details[unquote_plus(key)] = unquote_plus(value)
    return stamp, details, text
