"""How client and supervisor talk: frames over a unix stream socket, each one plain value.

A frame is four bytes of length, most significant first, and a value in ``marshal``'s format 2, which is the same in
all versions of Python for the plain values used here. ``marshal`` is not safe against a hostile peer: both ends make
sure that the other is root's before they read. A request is ``(number, verb, arguments)``; the reply is
``(number, "ok", value)`` or ``(number, kind of refusal, message)``. Replies come in any order.

``attach`` turns its connection into a stream once it is answered: from then on both ends send ``(kind, content)``.
``spawn`` has a connection of its own, too: the process's descriptors come with the request, the answer is the pid, and
a second answer with the same number is the exit code. Who closes that connection does not want to know it.
"""

import marshal

PROTOCOL = 3
"""Grows when a frame's meaning changes; the client re-executes a supervisor that speaks another."""
HANDOVER = 2
"""Grows when what a supervisor hands to its successor changes: it becomes none that does not understand it."""
PROTOCOL_WITH_HANDOVER = 3
"""From here on a client says which handover the successor understands."""
FRAME_MAX = 8 << 20
"""A start order with the kernel's largest environment (2 MiB) and all else fits well."""
HEADER_BYTES = 4
OK = "ok"
_MARSHAL_VERSION = 2

SOCKET = "supervisor.sock"
"""Below the exec root."""
READY = b"ready\n"
"""What the supervisor's program says on its standard output once clients can connect; else it says why not."""
CHECK = "--check"
"""Has the program say that it is ready, and end: asked of a successor before it takes over."""
TAKE_OVER = "--resume"
"""Has the program go on where the one was that executed it; so said 0.1.0, which is still running somewhere."""
FLAGS = ("-S", "-E", "-P", "-X", "utf8")
"""The interpreter's: no installed packages, nothing from the environment, names of files in UTF-8."""

HELLO = "hello"
START = "start"
SIGNAL = "signal"
KILL = "kill"
WAIT = "wait"
EXEC = "exec"
CLEANUP = "cleanup"
LEASE = "lease"
PAUSE = "pause"
RESUME = "resume"
LIMIT = "limit"
RUNNING = "running"
WITH_PIDS = "pids"
"""Asks ``RUNNING`` for the first processes too. A supervisor of 0.1.0 tells the containers only."""
REEXEC = "reexec"
SHUTDOWN = "shutdown"
ATTACH = "attach"
SPAWN = "spawn"
RESIZE = "resize"

STDOUT = 1
"""A piece of an attached container's output; of a terminal's, too."""
STDERR = 2
END = 3
"""No more output comes."""
INPUT = 4
"""A piece of input."""
INPUT_END = 5
"""No more input comes: the process reads its end."""
SIZE = 6
"""Rows and columns of the terminal."""


class FrameError(ValueError):
    """A frame that is too long or not a value."""


def encode_frame(value: object) -> bytes:
    """Bytes of one value.

    Raises:
        FrameError: it is longer than ``FRAME_MAX`` or not a plain value.
    """
    try:
        body = marshal.dumps(value, _MARSHAL_VERSION)  # type: ignore[arg-type]  # checked by marshal itself
    except ValueError as error:
        raise FrameError(f"not a plain value: {error}") from error
    if len(body) > FRAME_MAX:
        raise FrameError(f"{len(body)} bytes are more than the {FRAME_MAX} of a frame")
    return len(body).to_bytes(HEADER_BYTES, "big") + body


def body_length(header: bytes) -> int:
    """The length that a frame's header announces.

    Raises:
        FrameError: it is longer than ``FRAME_MAX``.
    """
    length = int.from_bytes(header[:HEADER_BYTES], "big")
    if length > FRAME_MAX:
        raise FrameError(f"a frame of {length} bytes is more than {FRAME_MAX}")
    return length


def decode_body(body: bytes) -> object:
    """The value of a frame.

    Raises:
        FrameError: it is none.
    """
    try:
        return marshal.loads(body)  # noqa: S302 - both ends check that the peer is root
    except (ValueError, EOFError, TypeError) as error:
        raise FrameError(f"not a frame: {error}") from error


class FrameReader:
    """Puts frames together out of pieces."""

    __slots__ = ("_buffer",)

    def __init__(self, rest: bytes = b"") -> None:
        self._buffer = bytearray(rest)

    @property
    def rest(self) -> bytes:
        """The beginning of a value."""
        return bytes(self._buffer)

    def feed(self, piece: bytes) -> list[object]:
        """Takes a piece and gives the values that are now complete.

        Raises:
            FrameError: what came is no frame; nothing more can be read.
        """
        self._buffer += piece
        values = []
        while len(self._buffer) >= HEADER_BYTES:
            end = HEADER_BYTES + body_length(bytes(self._buffer[:HEADER_BYTES]))
            if len(self._buffer) < end:
                break
            values.append(decode_body(bytes(self._buffer[HEADER_BYTES:end])))
            del self._buffer[:end]
        return values
