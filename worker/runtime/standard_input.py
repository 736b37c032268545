"""What is written to a container: its input, a pipe or a terminal, and what waits until it reads."""

import os

from worker.runtime.eventloop import WRITABLE, EventLoop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

INPUT_MAX = 65536
"""Bytes that wait for a container to read them; who is attached is not read from while there are more."""


class Input:
    """The writing end of a container's standard input."""

    __slots__ = (
        "_loop",
        "ends_with_first",
        "fd",
        "is_ending",
        "is_terminal",
        "pending",
        "relief",
        "takes",
    )

    def __init__(
        self,
        fd: int,
        *,
        is_terminal: bool = False,
        takes: bool = True,
        ends_with_first: bool = False,
    ) -> None:
        self.fd = fd
        """-1 once it is closed: what still comes is dropped, as nobody can ever read it."""
        self.is_terminal = is_terminal
        self.takes = takes
        """Whether anything can be written: a terminal is there for its size, too."""
        self.ends_with_first = ends_with_first
        """Whether it ends when somebody who was attached to it leaves."""
        self.pending = bytearray()
        self.is_ending = False
        self.relief: Callable[[], None] | None = None
        """Called when it is not full any more."""
        self._loop: EventLoop | None = None

    @property
    def is_full(self) -> bool:
        """Whether it should be given nothing now."""
        return len(self.pending) >= INPUT_MAX

    def watch(self, loop: EventLoop) -> None:
        """Begins to write what waits."""
        self._loop = loop
        self._flush()

    def write(self, piece: bytes) -> None:
        """Gives it a piece, now or as soon as it reads."""
        if self.fd >= 0 and self.takes and not self.is_ending:
            self.pending += piece
            self._flush()

    def end(self) -> None:
        """It reads its end after what waits; a terminal has none and stays open."""
        if not self.is_terminal:
            self.is_ending = True
            self._flush()

    def _flush(self) -> None:
        was_full = self.is_full
        if self.fd >= 0 and self._loop is not None:
            self._write(self._loop)
        if was_full and not self.is_full and self.relief is not None:
            self.relief()

    def _write(self, loop: EventLoop) -> None:
        try:
            while self.pending:
                written = os.write(self.fd, self.pending)
                del self.pending[:written]
        except BlockingIOError:
            loop.watch(self.fd, lambda _: self._flush(), WRITABLE)
            return
        except OSError:  # Nobody has the other end any more.
            self.close()
            return
        loop.forget(self.fd)
        if self.is_ending:
            self.close()

    def close(self) -> None:
        """Closes it; what waits is dropped."""
        self.pending.clear()
        if self.fd >= 0:
            if self._loop is not None:
                self._loop.forget(self.fd)
            os.close(self.fd)
            self.fd = -1
