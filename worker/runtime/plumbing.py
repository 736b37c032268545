"""Descriptors of one start: the child's ends are closed in any case, ours when the start fails."""

import _socket  # ``socket`` adds a megabyte of enum and selectors
import os

from worker.runtime.refusal import INVALID, Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from worker.kernel.cgroupfs import Entrance

HOST_NETWORK = "host"
CONTAINER = "container:"


class Stdio:
    """What a child has for standard streams."""

    __slots__ = ("console_fd", "streams")

    def __init__(self, streams: tuple[int, int, int], console_fd: int = -1) -> None:
        self.streams = streams
        self.console_fd = console_fd
        """The socket by which it sends the terminal that it makes and takes instead; -1 when it has none."""


class Plumbing:
    """What a child is given and what stays here."""

    def __init__(self) -> None:
        self._mine: list[int] = []
        self._theirs: list[int] = []
        self._entrance: Entrance | None = None

    def pipe(self) -> tuple[int, int]:
        """A pipe: our end, which we read without waiting, and the child's."""
        reading, writing = os.pipe2(os.O_CLOEXEC)
        self._mine.append(reading)
        self._theirs.append(writing)
        os.set_blocking(reading, False)
        return reading, writing

    def pipe_to_child(self) -> tuple[int, int]:
        """A pipe the other way: our end, which we write without waiting, and the child's."""
        reading, writing = os.pipe2(os.O_CLOEXEC)
        self._mine.append(writing)
        self._theirs.append(reading)
        os.set_blocking(writing, False)
        return writing, reading

    def console(self) -> tuple[int, int]:
        """A socket by which a child sends its terminal: our end and the child's."""
        ours, child = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
        mine, theirs = ours.detach(), child.detach()
        self._mine.append(mine)
        self._theirs.append(theirs)
        os.set_blocking(mine, False)
        return mine, theirs

    def take(self, fd: int) -> int:
        """Something else of the child's."""
        self._theirs.append(fd)
        return fd

    def enter(self, entrance: "Entrance") -> "Entrance":
        """The door to its group."""
        self._entrance = entrance
        return entrance

    def open_namespace(self, path: str) -> int:
        """A network namespace to join; -1 for none.

        Raises:
            Refusal: there is no such namespace.
        """
        if path in ("", HOST_NETWORK) or path.startswith(CONTAINER):
            return -1
        try:
            return self.take(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise Refusal(INVALID, f"network namespace {path}: {reason}") from error

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        failed = [] if kind is None else self._mine
        for fd in (*self._theirs, *failed):
            os.close(fd)
        if self._entrance is not None:
            self._entrance.close()
