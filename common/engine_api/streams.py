"""Log and attach streams: Docker's 8-byte multiplexing header (Engine API, "Stream format")."""

import struct

STDIN, STDOUT, STDERR, SYSTEM_ERROR = 0, 1, 2, 3
_HEADER = struct.Struct(">BxxxI")


def frame(stream: int, data: bytes) -> bytes:
    """One frame of a multiplexed stream."""
    return _HEADER.pack(stream, len(data)) + data
