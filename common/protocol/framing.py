"""Frames in a stream of bytes: four bytes of length (big endian), then that many bytes. Pure.

A frame without bytes says only that its sender lives.
"""

from typing import Final

from common.errors import UnavailableError

LENGTH_BYTES: Final = 4
ALIVE: Final = bytes(LENGTH_BYTES)
"""The frame without bytes."""


class FrameTooLargeError(UnavailableError):
    """The other side sends what no one of us does: the stream ends."""


def length_prefix(frame: bytes) -> bytes:
    """What goes before a frame."""
    return len(frame).to_bytes(LENGTH_BYTES, "big")


class FrameSplitter:
    """Takes bytes as they come and gives the frames that are complete. Holds one incomplete frame at most."""

    def __init__(self, frame_bytes_max: int) -> None:
        self._frame_bytes_max = frame_bytes_max
        self._rest = bytearray()
        self._needed = LENGTH_BYTES
        """Bytes that ``_rest`` must have before there is something new to see in it."""

    def feed(self, data: bytes | memoryview) -> list[bytes]:
        """The frames that ``data`` completes, without those that are empty.

        Raises:
            FrameTooLargeError: as soon as its length is known.
        """
        if not self._rest:
            frames, used = self._split(data)
            if used < len(data):
                with memoryview(data) as view:
                    self._rest += view[used:]
            return frames
        self._rest += data
        if len(self._rest) < self._needed:
            return []
        frames, used = self._split(self._rest)
        del self._rest[:used]
        return frames

    def _split(self, data: bytes | bytearray | memoryview) -> tuple[list[bytes], int]:
        frames: list[bytes] = []
        start, size = 0, len(data)
        with memoryview(data) as view:
            while size - start >= LENGTH_BYTES:
                length = int.from_bytes(view[start : start + LENGTH_BYTES], "big")
                if length > self._frame_bytes_max:
                    raise FrameTooLargeError(
                        f"a frame of {length} bytes, over {self._frame_bytes_max}"
                    )
                end = start + LENGTH_BYTES + length
                if end > size:
                    self._needed = end - start
                    return frames, start
                if length:
                    frames.append(bytes(view[start + LENGTH_BYTES : end]))
                start = end
        self._needed = LENGTH_BYTES
        return frames, start
