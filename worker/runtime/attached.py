"""A client that is attached to a container: its connection, and what it has not taken yet.

A connection that asked for ``attach`` belongs to this module from its answer on.
"""

import _socket  # ``socket`` adds a megabyte of enum and selectors
import os
import time

from worker.runtime.eventloop import READABLE, WRITABLE
from worker.runtime.wire import END, INPUT, INPUT_END, SIZE, FrameError, FrameReader, encode_frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from worker.runtime.audience import Audience

BUFFER_MAX = 256 << 10
"""Bytes that wait for one client; the container's output is not read while there are more."""
STALL_SECONDS = 300
"""A client that takes nothing for so long, while something waits for it, is cut off."""
_READ_BYTES = 65536
_FRAME_PARTS = 2
_NANO = 1_000_000_000


class Attached:
    """One client that is attached."""

    __slots__ = (
        "_audience",
        "_is_hung_up",
        "_is_last",
        "_loop",
        "_outgoing",
        "_reader",
        "_reads",
        "_taken_at",
        "fd",
        "with_input",
        "with_output",
    )

    def __init__(
        self,
        fd: int,
        reader: FrameReader,
        audience: "Audience",
        *,
        with_input: bool,
        with_output: bool,
    ) -> None:
        self.fd = fd
        self.with_input = with_input
        self.with_output = with_output
        self._reader = reader
        self._audience = audience
        self._loop = audience.loop
        self._outgoing = bytearray()
        self._reads = False
        self._is_hung_up = False
        self._is_last = False
        self._taken_at = 0

    @property
    def is_hung_up(self) -> bool:
        """Whether the client is gone, and something that it said before is still unread."""
        return self._is_hung_up

    @property
    def is_full(self) -> bool:
        """Whether it should be sent nothing now."""
        return len(self._outgoing) >= BUFFER_MAX

    @property
    def words(self) -> "tuple[Any, ...]":
        """Everything about it, to be handed on."""
        flags = (self.with_input, self.with_output, self._is_hung_up)
        return (self.fd, flags, bytes(self._outgoing), self._reader.rest)

    def resume(self, outgoing: bytes, *, is_hung_up: bool) -> None:
        """Goes on where another supervisor was."""
        self._is_hung_up = is_hung_up
        if outgoing:
            self.send(outgoing)

    # -- to the client -----------------------------------------------------------------------------

    def send(self, frame: bytes) -> None:
        """Sends a frame now, or as soon as the client takes it."""
        if self.fd < 0 or self._is_hung_up:
            return
        if not self._outgoing:
            self._taken_at = time.monotonic_ns()
        self._outgoing += frame
        self._flush()

    def finish(self) -> None:
        """Nothing comes any more: it is closed once the client has taken everything."""
        self._is_last = True
        self._reads = False
        self.send(encode_frame((END, b"")))
        if self._is_hung_up:
            self.close()

    def _flush(self) -> None:
        was_full = self.is_full
        try:
            while self._outgoing:
                written = os.write(self.fd, self._outgoing)
                del self._outgoing[:written]
                self._taken_at = time.monotonic_ns()
        except BlockingIOError:
            self._loop.call_at(
                self._alarm, self._taken_at + STALL_SECONDS * _NANO, self._cut_off_if_stalled
            )
        except OSError:
            self.close()
            return
        else:
            self._loop.cancel(self._alarm)
            if self._is_last:
                self.close()
                return
        self._watch()
        if was_full and not self.is_full:
            self._audience.relieve()

    @property
    def _alarm(self) -> str:
        return f"attached {self.fd}"

    def _cut_off_if_stalled(self) -> None:
        self._audience.log(f"who was attached took nothing for {STALL_SECONDS} s and was cut off")
        self.close()

    # -- from the client ---------------------------------------------------------------------------

    def listen(self, *, reads: bool) -> None:
        """Reads what the client says, or lets it wait."""
        if self.fd >= 0 and not self._is_last:
            self._reads = reads
            self._watch()

    def _watch(self) -> None:
        events = (READABLE if self._reads else 0) | (WRITABLE if self._outgoing else 0)
        if self._is_hung_up and not self._reads:
            self._loop.forget(self.fd)
        else:
            self._loop.watch(self.fd, self._ready, events)

    def _ready(self, events: int) -> None:
        if events & WRITABLE:
            self._flush()
        if self.fd < 0 or not events & ~WRITABLE:
            return
        if self._reads:
            self._read()
        else:
            self._hang_up()

    def _hang_up(self) -> None:
        """The client is gone. What it has said is read when there is room for it."""
        self._is_hung_up = True
        self._outgoing.clear()
        self._loop.cancel(self._alarm)
        if self._is_last or not self._audience.is_open or not self._has_unread:
            self.close()
        else:
            self._loop.forget(self.fd)
            self._audience.relieve()

    @property
    def _has_unread(self) -> bool:
        peer = _socket.socket(fileno=self.fd)
        try:
            return bool(peer.recv(1, _socket.MSG_PEEK | _socket.MSG_DONTWAIT))
        except OSError:
            return False
        finally:
            peer.detach()

    def _read(self) -> None:
        try:
            piece = os.read(self.fd, _READ_BYTES)
            values = self._reader.feed(piece)
        except BlockingIOError:
            return
        except (OSError, FrameError):
            self.close()
            return
        if not piece:
            self.close()
            return
        for value in values:
            if not isinstance(value, tuple) or len(value) != _FRAME_PARTS:
                self.close()
                return
            self._take(*value)

    def _take(self, kind: object, content: object) -> None:
        if kind == INPUT and self.with_input and isinstance(content, bytes):
            self._audience.write(content)
        elif kind == INPUT_END and self.with_input:
            self._audience.end_input()
        elif kind == SIZE and isinstance(content, tuple):
            self._audience.resize(*content)

    def close(self) -> None:
        """Lets go of the client."""
        if self.fd >= 0:
            self._loop.forget(self.fd)
            self._loop.cancel(self._alarm)
            os.close(self.fd)
            self.fd = -1
            self._outgoing.clear()
            self._audience.leave(self)
