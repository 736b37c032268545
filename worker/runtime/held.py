"""Containers and further processes as the supervisor holds them: their pipes, their logs, their ends."""

import os
from time import time_ns

from worker.runtime.child import SIGNALLED
from worker.runtime.eventloop import EventLoop
from worker.runtime.output import LogFile, cut_lines, entry_ending, format_entry
from worker.runtime.process import READY
from worker.runtime.refusal import SYSTEM, Refusal, decode_refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.runtime.connections import Request
    from worker.runtime.orders import ProcessOrder

PUMP_BYTES = 65536
"""Read from one pipe before the others get their turn."""
DRAIN_BYTES_MAX = 16 << 20
"""Read from a pipe once its container is dead: the kernel's largest pipe is 1 MiB, unless someone outside writes on."""
REPORT_MAX = 8192
WAITERS_MAX = 64


class Stream:
    """One output pipe of a container, on its way into the log."""

    __slots__ = ("fd", "name", "pending")

    def __init__(self, name: str, fd: int, pending: bytes = b"") -> None:
        self.name = name
        self.fd = fd
        """-1 once it is closed."""
        self.pending = pending
        """The beginning of a line."""


class Report:
    """The pipe by which a child says that it is about to execute its program, or why not."""

    __slots__ = ("content", "fd")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.content = b""

    def read(self) -> bool:
        """Reads what is there; True at the end."""
        while self.fd >= 0:
            try:
                piece = os.read(self.fd, REPORT_MAX)
            except BlockingIOError:
                return False
            self.content = (self.content + piece)[:REPORT_MAX]
            if not piece:
                return True
        return True

    @property
    def has_executed(self) -> bool:
        """True once the end was reached and nothing went wrong before."""
        return self.content == READY

    def refusal(self, status: int) -> Refusal:
        """Why it did not, given the status that the child ended with."""
        words = self.content.removeprefix(READY)
        if words:
            return decode_refusal(words)
        code = exit_code(status)
        hint = ": the memory limit is too small" if code == SIGNALLED + 9 else ""
        return Refusal(SYSTEM, f"the container's set-up ended with code {code}{hint}")

    def close(self) -> None:
        """Closes the pipe."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Held:
    """A container whose first process has not been reaped."""

    __slots__ = (
        "id",
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
        self.streams: list[Stream] = []
        self.log: LogFile | None = None
        self.lost_entries = 0
        self.report: Report | None = None
        """Until the program runs."""
        self.starter: Request | None = None
        self.waiters: list[Request] = []

    def watch(self, loop: EventLoop) -> None:
        """Begins to pump the output."""
        for stream in self.streams:
            if stream.fd >= 0:
                loop.watch(stream.fd, self._pumping(stream, loop))

    def _pumping(self, stream: Stream, loop: EventLoop) -> "Callable[[int], None]":
        def pump(_events: int) -> None:
            if self.pump(stream) == 0:
                self._close_stream(stream, loop)

        return pump

    def pump(self, stream: Stream) -> int:
        """Takes one piece into the log: its length, 0 at the end, -1 when nothing is there."""
        try:
            piece = os.read(stream.fd, PUMP_BYTES)
        except BlockingIOError:
            return -1
        if piece:
            entries, stream.pending = cut_lines(stream.pending, piece)
            self._write(stream, entries)
        return len(piece)

    def _write(self, stream: Stream, entries: list[bytes]) -> None:
        if entries and self.log is not None:
            ending = entry_ending(stream.name, time_ns())
            self.log.write([format_entry(entry, ending) for entry in entries])

    def _close_stream(self, stream: Stream, loop: EventLoop) -> None:
        loop.forget(stream.fd)
        os.close(stream.fd)
        stream.fd = -1
        if stream.pending:
            self._write(stream, [stream.pending])
            stream.pending = b""

    def finish(self, loop: EventLoop) -> None:
        """Takes in all output that is left, and closes everything."""
        for stream in self.streams:
            taken = 0
            while stream.fd >= 0 and taken < DRAIN_BYTES_MAX:
                length = self.pump(stream)
                if length <= 0:
                    break
                taken += length
            if stream.fd >= 0:
                self._close_stream(stream, loop)
        if self.log is not None:
            self.log.close()
            self.lost_entries = self.log.lost_entries
            self.log = None
        if self.report is not None:
            loop.forget(self.report.fd)
            self.report.close()
            self.report = None


class Execution:
    """A further process in a container."""

    __slots__ = (
        "container_id",
        "is_late",
        "output",
        "output_fd",
        "output_max",
        "pid",
        "report",
        "request",
    )

    def __init__(self, container_id: str, request: "Request", output_max: int) -> None:
        self.container_id = container_id
        self.request = request
        self.output_max = output_max
        self.output = bytearray()
        self.output_fd = -1
        self.report = Report(-1)
        self.pid = 0
        self.is_late = False
        """Whether it was killed because its time was up."""

    def pump(self) -> int:
        """Takes one piece of output; what is beyond the bound is thrown away."""
        try:
            piece = os.read(self.output_fd, PUMP_BYTES)
        except BlockingIOError:
            return -1
        self.output += piece[: self.output_max - len(self.output)]
        return len(piece)

    def finish(self, loop: EventLoop) -> None:
        """Takes in the output that is left, and closes everything."""
        taken = 0
        while self.output_fd >= 0 and taken < DRAIN_BYTES_MAX:
            length = self.pump()
            if length <= 0:
                break
            taken += length
        self.close_output(loop)
        self.report.read()
        self.report.close()

    def close_output(self, loop: EventLoop) -> None:
        """No more output."""
        if self.output_fd >= 0:
            loop.forget(self.output_fd)
            os.close(self.output_fd)
            self.output_fd = -1


def exit_code(status: int) -> int:
    """0-255, out of what waitpid says; 128 + signal when a signal ended it."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else SIGNALLED - code
