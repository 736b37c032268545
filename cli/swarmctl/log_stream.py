"""Docker's multiplexed log stream into lines on stdout and stderr. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import unquote_plus

_HEADER_BYTES = 8
MAX_FRAME_BYTES = 16 * 1024 * 1024
SYSTEM_ERROR = 3
"""The stream by which the daemon says that it cannot go on."""


class StreamError(ValueError):
    """The stream is not multiplexed, ends in the middle of a frame, or says that reading failed."""


def frames(chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Splits a multiplexed stream (Engine API, "Stream format") into ``(1 or 2, payload)``.

    Raises:
        StreamError: it is not multiplexed, it is cut off, or it ends with an error.
    """
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        while len(buffer) >= _HEADER_BYTES:
            length = int.from_bytes(buffer[4:8], "big")
            if buffer[0] > SYSTEM_ERROR or any(buffer[1:4]) or length > MAX_FRAME_BYTES:
                raise StreamError("the logs are not in Docker's stream format")
            if len(buffer) < _HEADER_BYTES + length:
                break
            payload = bytes(buffer[_HEADER_BYTES : _HEADER_BYTES + length])
            if buffer[0] == SYSTEM_ERROR:
                raise StreamError(f"reading the logs failed: {payload.decode(errors='replace')}")
            yield buffer[0], payload
            del buffer[: _HEADER_BYTES + length]
    if buffer:
        raise StreamError("the logs ended in the middle of a line")


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
