"""Docker's multiplexed log stream into lines on stdout and stderr."""

from collections.abc import Iterable, Iterator

_HEADER_BYTES = 8
MAX_FRAME_BYTES = 16 * 1024 * 1024


def frames(chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Splits a multiplexed stream (Engine API, "Stream format") into ``(1 or 2, payload)``.

    Raises:
        ValueError: the stream is not multiplexed.
    """
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        while len(buffer) >= _HEADER_BYTES:
            length = int.from_bytes(buffer[4:8], "big")
            if buffer[0] > 2 or length > MAX_FRAME_BYTES:  # noqa: PLR2004 - stderr
                raise ValueError("not a multiplexed stream")
            if len(buffer) < _HEADER_BYTES + length:
                break
            yield buffer[0], bytes(buffer[_HEADER_BYTES : _HEADER_BYTES + length])
            del buffer[: _HEADER_BYTES + length]
