"""A process of a benchmark that is told what to do by lines of JSON, and answers each with one: both of its ends."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from integration.host import REPOSITORY

LINE_BYTES_MAX = 1 << 24
"""Of one line: the latencies of a whole run are one."""
LOG_BYTES_SHOWN = 4000

# ------------------------------------------------------------------------------ who tells


class Told:
    """A module run as a process. ``before`` is put before the command (``nsenter …``, ``taskset …``)."""

    def __init__(
        self, module: str, arguments: Sequence[str], log: Path, before: Sequence[str] = ()
    ) -> None:
        """Starts it and waits until it says that it is up."""
        self._log = log
        with log.open("a") as errors:
            self._process = subprocess.Popen(
                [*before, sys.executable, "-m", module, *arguments],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=REPOSITORY,
            )  # fmt: skip
        self.pid = self._process.pid
        self.answer()

    def ask(self, *words: Any) -> dict[str, Any]:
        """Has it do something, to the end."""
        self.post(*words)
        return self.answer()

    def post(self, *words: Any) -> None:
        """Has it begin."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """What it says next."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"a process ended; see {self._log}:\n{self._tail()}"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def kill(self) -> None:
        """Ends it as a power cut would."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.communicate()

    def _tail(self) -> str:
        return self._log.read_text()[-LOG_BYTES_SHOWN:] if self._log.exists() else ""


# --------------------------------------------------------------------------- who is told


def say(answer: dict[str, Any]) -> None:
    """Answers."""
    rest = memoryview(json.dumps(answer).encode() + b"\n")
    while rest:
        rest = rest[os.write(1, rest) :]


async def obey(do: Callable[..., Awaitable[dict[str, Any]]]) -> None:
    """Says that it is up, then does what it is told (``do(name, *arguments)``) until standard input ends."""
    lines = asyncio.StreamReader(limit=LINE_BYTES_MAX)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    say({"up": True})
    while line := await lines.readline():
        say(await do(*json.loads(line)))
