"""What attached clients and further processes read and write: ``worker.containers.ports.Streams``, twice.

``AttachedStreams`` speaks frames with the supervisor, ``ProcessStreams`` has pipes or a terminal of its own.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable

from typing_extensions import override

from common.errors import SystemFailureError, UnavailableError
from worker.runtime import terminal, wire
from worker.runtime.framed import Framed
from worker.runtime.link import SupervisorLostError, refused

PIECE_BYTES = 65536
"""Read, or written, at once."""
WAITING_MAX = 256 << 10
"""Bytes that were received for a reader and not taken yet; no more are received then."""
LINGER_SECONDS = 10
"""For a container to read what was written to it, once who wrote it has left."""
_NUMBER = 1


class AttachedStreams(Framed):
    """A connection to the supervisor that asked to be attached."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: deque[tuple[int, bytes]] = deque()
        self._waiting = 0
        self._is_ended = False
        self._is_lost = False
        self._is_closed = False
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # -- asyncio's side ----------------------------------------------------------------------------

    @override
    def _cannot_read(self, error: wire.FrameError) -> None:
        self._lose()

    @override
    def _take(self, value: object) -> None:
        match value:
            case (wire.STDOUT | wire.STDERR as stream, bytes() as piece):
                self._pieces.append((stream, piece))
                self._waiting += len(piece)
                if self._waiting >= WAITING_MAX and self._transport is not None:
                    self._transport.pause_reading()
            case (wire.END, _):
                self._is_ended = True
            case (_, str() as outcome, answer):
                self._be_answered(outcome, answer)
            case _:
                raise wire.FrameError(f"not a piece of output: {value!r}")
        self._arrived.set()

    def _be_answered(self, outcome: str, answer: object) -> None:
        if self._answer.done():
            return
        if outcome == wire.OK:
            self._answer.set_result(None)
        else:
            self._answer.set_exception(refused(outcome, answer))

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._lose()

    def _lose(self) -> None:
        self._is_lost = True
        self._arrived.set()
        self._writable.set()
        if not self._answer.done():
            self._answer.set_exception(SupervisorLostError())
        self._abort()

    @override
    def pause_writing(self) -> None:
        self._writable.clear()

    @override
    def resume_writing(self) -> None:
        self._writable.set()

    # -- the caller's side -------------------------------------------------------------------------

    async def ask(self, arguments: object) -> None:
        """Asks to be attached.

        Raises:
            SwarmdError: what the supervisor said instead.
        """
        self._send((_NUMBER, wire.ATTACH, arguments))
        await self._answer

    def _send(self, value: object) -> None:
        if self._transport is not None and not self._is_lost and not self._is_closed:
            self._transport.write(wire.encode_frame(value))

    async def read(self) -> tuple[int, bytes] | None:
        """The next piece: 1 (stdout, or a terminal) or 2 (stderr) and its bytes; None once both have ended.

        Raises:
            UnavailableError: the connection broke before the end.
        """
        while not self._pieces:
            if self._is_ended or self._is_closed:
                return None
            if self._is_lost:
                raise UnavailableError("the container's output broke off: the supervisor let go")
            self._arrived.clear()
            await self._arrived.wait()
        stream, piece = self._pieces.popleft()
        was_full = self._waiting >= WAITING_MAX
        self._waiting -= len(piece)
        if was_full and self._waiting < WAITING_MAX and self._transport is not None:
            self._transport.resume_reading()
        return stream, piece

    async def write(self, data: bytes) -> None:
        """Gives it input; waits while it does not read. What it can never read any more is dropped."""
        for start in range(0, len(data), PIECE_BYTES):
            await self._writable.wait()
            self._send((wire.INPUT, bytes(data[start : start + PIECE_BYTES])))

    async def close_input(self) -> None:
        """It reads the end of its input; a terminal has none."""
        self._send((wire.INPUT_END, b""))

    async def resize(self, rows: int, columns: int) -> None:
        """Says how large its terminal is; nothing without one."""
        self._send((wire.SIZE, (rows, columns)))

    def close(self) -> None:
        """Lets go of it, once what was written is on its way; it goes on. May be called again."""
        self._pieces.clear()
        self._arrived.set()
        if self._transport is None or self._is_closed:
            return
        self._is_closed = True
        self._writable.set()
        if self._transport.get_write_buffer_size():
            asyncio.get_running_loop().call_later(LINGER_SECONDS, self._abort)
        self._transport.close()


class ProcessStreams:
    """Our ends of a further process's pipes, or its terminal's master."""

    def __init__(self, stdin: int, outputs: dict[int, int], *, is_terminal: bool = False) -> None:
        """``outputs`` are descriptors and the number of the stream that each is."""
        self._stdin = stdin
        self._outputs = dict(outputs)
        self._is_terminal = is_terminal
        self._waits: set[asyncio.Future[None]] = set()
        for fd in {stdin, *outputs} - {-1}:
            os.set_blocking(fd, False)

    async def read(self) -> tuple[int, bytes] | None:
        """The next piece: 1 (stdout, or a terminal) or 2 (stderr) and its bytes; None once both have ended."""
        while self._outputs:
            for fd, stream in list(self._outputs.items()):
                piece = _read(fd)
                if piece:
                    self._outputs[fd] = self._outputs.pop(fd)  # The other has the next turn.
                    return stream, piece
                if piece is not None:
                    self._close_output(fd)
            if self._outputs:
                await self._ready(self._outputs, asyncio.get_running_loop().add_reader)
        return None

    def _close_output(self, fd: int) -> None:
        del self._outputs[fd]
        if fd != self._stdin:
            os.close(fd)

    async def write(self, data: bytes) -> None:
        """Gives it input; waits while it does not read. What it can never read any more is dropped."""
        left = memoryview(data)
        while left and self._stdin >= 0:
            try:
                left = left[os.write(self._stdin, left) :]
            except BlockingIOError:
                await self._ready([self._stdin], asyncio.get_running_loop().add_writer)
            except OSError:  # Nobody has the other end any more.
                return

    async def _ready(self, fds: "dict[int, int] | list[int]", watch: Callable[..., object]) -> None:
        loop = asyncio.get_running_loop()
        forget = loop.remove_reader if watch == loop.add_reader else loop.remove_writer
        wait = loop.create_future()
        self._waits.add(wait)
        watched = list(fds)
        try:
            for fd in watched:
                watch(fd, _wake, wait)
            await wait
        finally:
            self._waits.discard(wait)
            for fd in watched:
                if (
                    fd == self._stdin or fd in self._outputs
                ):  # Else it is closed, and may be another's.
                    forget(fd)

    async def close_input(self) -> None:
        """It reads the end of its input; a terminal has none."""
        if self._stdin >= 0 and not self._is_terminal:
            closing, self._stdin = self._stdin, -1
            asyncio.get_running_loop().remove_writer(closing)
            self._wake_all()
            os.close(closing)

    async def resize(self, rows: int, columns: int) -> None:
        """Says how large its terminal is; nothing without one."""
        if self._is_terminal and self._stdin >= 0:
            terminal.set_size(self._stdin, rows, columns)

    def close(self) -> None:
        """Lets go of it; it goes on. May be called again."""
        loop = asyncio.get_running_loop()
        open_ones = {self._stdin, *self._outputs} - {-1}
        self._stdin = -1
        self._outputs.clear()
        self._wake_all()
        for fd in open_ones:
            loop.remove_reader(fd)
            loop.remove_writer(fd)
            os.close(fd)

    def _wake_all(self) -> None:
        for wait in self._waits:
            _wake(wait)


def _wake(wait: "asyncio.Future[None]") -> None:
    if not wait.done():
        wait.set_result(None)


def _read(fd: int) -> bytes | None:
    """What is there; b"" at the end, None when nothing is there yet."""
    try:
        return terminal.read_piece(fd, PIECE_BYTES)
    except OSError as error:
        raise SystemFailureError(f"a process's output cannot be read: {error}") from error
