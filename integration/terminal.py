"""A program at a terminal of its own, as a person sits at one."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

DEADLINE_SECONDS = 20.0
READ_BYTES = 65_536


class Terminal:
    """What it shows, and keys for it."""

    def __init__(self, fd: int, process: "subprocess.Popen[bytes]") -> None:
        self._fd, self.process = fd, process
        self.shown = b""

    def until(self, text: str, *, seconds: float = DEADLINE_SECONDS) -> str:
        """Reads until this is shown; gives all up to its end, and forgets it."""
        wanted, end = text.encode(), time.monotonic() + seconds
        while wanted not in self.shown:
            left = end - time.monotonic()
            assert left > 0, f"waited for {text!r}; it shows {self.shown!r}"
            if select.select([self._fd], [], [], left)[0] and not self._read():
                raise AssertionError(f"it ended before {text!r}; it shows {self.shown!r}")
        before, _, self.shown = self.shown.partition(wanted)
        return (before + wanted).decode("utf-8", "replace")

    def shows(self, text: str, *, seconds: float) -> bool:
        """Whether this is shown within that time."""
        try:
            self.until(text, seconds=seconds)
        except AssertionError:
            return False
        return True

    def type(self, keys: str) -> None:
        """Presses keys."""
        os.write(self._fd, keys.encode())

    def resize(self, rows: int, columns: int) -> None:
        """Makes it another size; the program is told."""
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process.send_signal(signal.SIGWINCH)

    def ended(self, *, seconds: float = DEADLINE_SECONDS) -> int:
        """Waits for the program's end, reading along; gives its exit code."""
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < end, f"it does not end; it shows {self.shown!r}"
            if select.select([self._fd], [], [], 0.05)[0] and not self._read():
                break
        return self.process.wait(timeout=max(0.1, end - time.monotonic()))

    def _read(self) -> bool:
        try:
            data = os.read(self._fd, READ_BYTES)
        except OSError:  # the other side is closed
            return False
        self.shown += data
        return bool(data)


@contextmanager
def terminal(
    command: Sequence[str], environment: Mapping[str, str], *, rows: int = 24, columns: int = 80
) -> Iterator[Terminal]:
    """Runs a program at a terminal of that size; kills it when the context ends."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={"TERM": "xterm", **environment},
    )
    os.close(theirs)
    try:
        yield Terminal(ours, process)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
