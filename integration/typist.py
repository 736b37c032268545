"""Somebody at a terminal: a program on a pty that is typed to, whose output is awaited, whose modes are compared."""

import os
import select
import signal
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

PATIENCE_SECONDS = 20.0
READ_BYTES = 65_536

SHOW_SIZE = b'echo "<$(stty size)>"\r'
"""A line for a shell that shows "<24 80>": no redrawn echo of what is typed can be taken for it."""
AWAIT_SIZE = b'until [ "$(stty size)" = "%d %d" ]; do sleep 0.05; done; echo "<that ""size>"\r'
"""A line for a shell that shows "<that size>" as soon as the window has it."""


class Typist:
    """Starts a program as the foreground process of a terminal of its own."""

    def __init__(
        self, command: Sequence[str], *, size: tuple[int, int] = (24, 80), **more: Any
    ) -> None:
        self.window, self.terminal = os.openpty()
        termios.tcsetwinsize(self.terminal, size)
        self.before = termios.tcgetattr(self.terminal)
        self.seen = b""
        environment: Mapping[str, str] | None = more.pop("env", None)
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *command],
            stdin=self.terminal,
            stdout=self.terminal,
            stderr=self.terminal,
            env=environment,
            **more,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.window)
        os.close(self.terminal)

    def type(self, keys: bytes) -> None:
        """Presses keys."""
        os.write(self.window, keys)

    def sees(self, text: bytes) -> bytes:
        """Waits until this stands on the screen after what was seen before; gives what came up to it."""
        assert self._comes(text, PATIENCE_SECONDS), (
            f"waited for {text!r}; on the screen: {self.seen!r}"
        )
        before, _, self.seen = self.seen.partition(text)
        return before

    def sees_within(self, seconds: float, text: bytes) -> bool:
        """Whether this comes to stand on the screen within that time."""
        if not self._comes(text, seconds):
            return False
        self.sees(text)
        return True

    def _comes(self, text: bytes, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while text not in self.seen:
            left = end - time.monotonic()
            if left <= 0:
                return False
            self._look(left)
        return True

    def _look(self, seconds: float) -> None:
        """Takes in what is shown next, if something is within that time."""
        if select.select([self.window], [], [], seconds)[0]:
            self.seen += os.read(self.window, READ_BYTES)

    def resize(self, rows: int, columns: int) -> None:
        """Draws the window larger or smaller."""
        termios.tcsetwinsize(self.window, (rows, columns))
        os.killpg(self.process.pid, signal.SIGWINCH)

    def is_raw(self) -> bool:
        """Whether keys reach the program as they are typed."""
        return not termios.tcgetattr(self.terminal)[3] & termios.ICANON

    def has_the_terminal(self) -> None:
        """Waits until keys reach the program as they are typed."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not self.is_raw():
            assert time.monotonic() < end, f"the terminal is not raw; on the screen: {self.seen!r}"
            time.sleep(0.02)

    def ended(self) -> int:
        """Waits for the end, reading along, sees that the terminal is as it was before, and gives the exit code."""
        end = time.monotonic() + PATIENCE_SECONDS
        while (code := self.process.poll()) is None:
            assert time.monotonic() < end, f"it does not end; on the screen: {self.seen!r}"
            self._look(0.05)
        assert termios.tcgetattr(self.terminal) == self.before, "the terminal is not as it was"
        return code
