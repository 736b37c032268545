"""Containers as the supervisor holds them: their pipes or terminal, their logs, who is attached, their ends."""

import os
from time import time_ns

from worker.runtime import terminal
from worker.runtime.audience import Audience
from worker.runtime.eventloop import EventLoop, after_ms
from worker.runtime.output import cut_lines
from worker.runtime.refusal import NOT_FOUND, Refusal
from worker.runtime.standard_input import Input
from worker.runtime.wire import END, STDERR, STDOUT, encode_frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.runtime.attached import Attached
    from worker.runtime.connections import Request
    from worker.runtime.journal import Log
    from worker.runtime.orders import ProcessOrder
    from worker.runtime.reports import Report

PUMP_BYTES = 65536
"""Read from one pipe before the others get their turn."""
DRAIN_BYTES_MAX = 16 << 20
"""Read from a pipe once its container is dead: the kernel's largest pipe is 1 MiB, unless someone outside writes on."""
WAITERS_MAX = 64
TERMINAL_AGAIN_MS = 250
"""Between looks at a terminal that no process has open."""


class Stream:
    """One output of a container, on its way into the log: a pipe, or its terminal."""

    __slots__ = ("fd", "name", "pending")

    def __init__(self, name: str, fd: int, pending: bytes = b"") -> None:
        self.name = name
        self.fd = fd
        """-1 once it is closed."""
        self.pending = pending
        """The beginning of a line."""


class Held:
    """A container whose first process has not been reaped."""

    __slots__ = (
        "_is_choked",
        "_loop",
        "audience",
        "console",
        "id",
        "input",
        "is_killed",
        "log",
        "lost_entries",
        "pid",
        "process",
        "report",
        "starter",
        "streams",
        "waiters",
    )

    def __init__(self, container_id: str, process: "ProcessOrder") -> None:
        self.id = container_id
        self.process = process
        """What a further process gets, too."""
        self.pid = 0
        self.is_killed = False
        """Whether all its processes were sent SIGKILL."""
        self.streams: list[Stream] = []
        self.input: Input | None = None
        """None: it reads /dev/null."""
        self.console = -1
        """The socket by which its set-up sends its terminal, until it came."""
        self.log: Log | None = None
        self.lost_entries = 0
        self.report: Report | None = None
        """Until the program runs."""
        self.starter: Request | None = None
        self.waiters: list[Request] = []
        self.audience: Audience | None = None
        """While somebody is attached."""
        self._loop: EventLoop | None = None
        self._is_choked = False
        """Whether its output is left unread until those who are attached have taken theirs."""

    def watch(self, loop: EventLoop) -> None:
        """Begins to pump output and input."""
        self._loop = loop
        if self.console >= 0:
            loop.watch(self.console, lambda _: self.take_terminal())
        if self.input is not None:
            self.input.watch(loop)
        self._watch_streams(loop)

    def _watch_streams(self, loop: EventLoop) -> None:
        for stream in self.streams:
            if stream.fd >= 0:
                loop.watch(stream.fd, self._pumping(stream, loop))

    def take_terminal(self) -> None:
        """Takes the terminal that the set-up sends; nothing when it has come, or none comes."""
        if self.console < 0:
            return
        try:
            master = terminal.receive(self.console)
        except BlockingIOError:
            return
        self._close_console(self._loop)
        if master < 0:
            return
        os.set_blocking(master, False)
        self.streams = [Stream("stdout", master)]
        if self.input is not None:
            self.input.fd = os.dup(master)  # One for each way: each is watched for itself.
        if self._loop is not None:
            self.watch(self._loop)
        if self.audience is not None:
            self.audience.open(self.input)

    # -- output ------------------------------------------------------------------------------------

    def _pumping(self, stream: Stream, loop: EventLoop) -> "Callable[[int], None]":
        def pump(_events: int) -> None:
            if self.pump(stream) == 0:
                if self._has_terminal:
                    self._look_again(stream, loop)
                    return
                self._close_stream(stream, loop)
                if self.audience is not None and self._has_said_all:
                    self.audience.end_output()
            elif self.audience is not None and self.audience.is_full:
                self._choke(loop)

        return pump

    @property
    def _has_terminal(self) -> bool:
        return self.input is not None and self.input.is_terminal

    def _look_again(self, stream: Stream, loop: EventLoop) -> None:
        """No process has the terminal open now; one may open /dev/console later, and must not wait for us then."""
        loop.forget(stream.fd)
        again = after_ms(TERMINAL_AGAIN_MS)
        loop.call_at(f"terminal {self.id}", again, lambda: self._watch_streams(loop))

    @property
    def _has_said_all(self) -> bool:
        return bool(self.streams) and all(stream.fd < 0 for stream in self.streams)

    def pump(self, stream: Stream) -> int:
        """Takes one piece into the log: its length, 0 at the end, -1 when nothing is there."""
        piece = terminal.read_piece(stream.fd, PUMP_BYTES)
        if piece is None:
            return -1
        if piece:
            if self.log is not None:
                entries, stream.pending = cut_lines(stream.pending, piece)
                self._write(stream, entries)
            if self.audience is not None:
                self.audience.tell(STDERR if stream.name == "stderr" else STDOUT, piece)
        return len(piece)

    def _write(self, stream: Stream, entries: list[bytes]) -> None:
        if entries and self.log is not None:
            self.log.write(stream.name, entries, time_ns())

    def _close_stream(self, stream: Stream, loop: EventLoop) -> None:
        loop.forget(stream.fd)
        loop.cancel(f"terminal {self.id}")
        os.close(stream.fd)
        stream.fd = -1
        if stream.pending:
            self._write(stream, [stream.pending])
            stream.pending = b""

    def _choke(self, loop: EventLoop) -> None:
        """Leaves the output where it is: the container waits for those who are attached."""
        self._is_choked = True
        for stream in self.streams:
            if stream.fd >= 0:
                loop.forget(stream.fd)

    def _breathe(self) -> None:
        if self._is_choked and self._loop is not None:
            self._is_choked = False
            self._watch_streams(self._loop)

    # -- those who are attached --------------------------------------------------------------------

    def gather(self, audience: Audience) -> None:
        """Takes in those who waited for the start, or an audience for the first who comes later."""
        self.audience = audience
        audience.on_relief = self._relieve
        audience.on_size = self.resize if self._has_terminal else None
        if self.console < 0:  # Else its input is not there yet: what is said to it waits.
            audience.open(self.input)

    def tell_end(self, member: "Attached") -> None:
        """Tells somebody who has just come when there is nothing more to read."""
        if self._has_said_all:
            member.send(encode_frame((END, b"")))

    def _relieve(self) -> None:
        if self.audience is not None and not self.audience.members:
            self.audience = None
        self._breathe()

    def resize(self, rows: int, columns: int) -> None:
        """Says how large its terminal is.

        Raises:
            Refusal: it has none.
        """
        if self.input is None or not self._has_terminal or self.input.fd < 0:
            raise Refusal(NOT_FOUND, f"container {self.id} has no terminal")
        terminal.set_size(self.input.fd, rows, columns)

    # -- end ---------------------------------------------------------------------------------------

    def finish(self, loop: EventLoop) -> None:
        """Takes in all output that is left, and closes everything."""
        self.take_terminal()
        for stream in self.streams:
            taken = 0
            while stream.fd >= 0 and taken < DRAIN_BYTES_MAX:
                length = self.pump(stream)
                if length <= 0:
                    break
                taken += length
            if stream.fd >= 0:
                self._close_stream(stream, loop)
        self._dismiss()
        self._close_log()
        self._close_console(loop)
        if self.report is not None:
            loop.forget(self.report.fd)
            self.report.close()
            self.report = None

    def _close_console(self, loop: EventLoop | None) -> None:
        if self.console >= 0:
            if loop is not None:
                loop.forget(self.console)
            os.close(self.console)
            self.console = -1

    def _dismiss(self) -> None:
        if self.audience is not None:
            self.audience.finish()
            self.audience = None
        if self.input is not None:
            self.input.close()
            self.input = None

    def _close_log(self) -> None:
        if self.log is not None:
            self.log.close()
            self.lost_entries = self.log.lost_entries
            self.log = None
