"""Signals of this process as something to wait for beside sockets."""

import os
import signal
from collections.abc import Iterable
from types import FrameType, TracebackType
from typing import Self

import click

FORWARDED = frozenset(
    (
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGABRT,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGALRM,
        signal.SIGTERM,
    )
)
"""What ``--sig-proxy`` sends on to the container: what asks a process for something."""
ENDING = frozenset((signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM))
"""What ends us, after the terminal is put in order."""
_READ_BYTES = 256
_SIGNALLED = 128


class SignalledError(click.exceptions.Exit):
    """A signal ends us, with the exit code that a shell shows for it; the terminal is in order again."""

    def __init__(self, number: int) -> None:
        super().__init__(_SIGNALLED + number)


class CaughtSignals:
    """While it is entered, these signals do nothing but be told here. Only in the main thread."""

    def __init__(self, wanted: Iterable[signal.Signals]) -> None:
        self._wanted = set(wanted)
        self._before: dict[signal.Signals, object] = {}
        self._read, self._write, self._before_fd = -1, -1, -1

    def __enter__(self) -> Self:
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._before_fd = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, _note) for number in self._wanted}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal gave
        signal.set_wakeup_fd(self._before_fd)
        os.close(self._read)
        os.close(self._write)

    def fileno(self) -> int:
        """What to wait for."""
        return self._read

    def taken(self) -> list[signal.Signals]:
        """Those that have come since the last call."""
        try:
            numbers = os.read(self._read, _READ_BYTES)
        except BlockingIOError:
            return []
        return [signal.Signals(number) for number in numbers if number in self._wanted]


def _note(_number: int, _frame: FrameType | None) -> None:
    """The number has been written to the pipe already."""
