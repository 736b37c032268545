"""Joins the user's terminal, or what stands in for it, with a process in a container until one of them ends it."""

import os
import selectors
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from enum import Enum
from types import FrameType
from typing import Protocol

from cli.swarmctl import terminal
from cli.swarmctl.caught_signals import ENDING, FORWARDED, CaughtSignals, SignalledError
from cli.swarmctl.log_stream import Demultiplexer
from common.engine_api.detach_keys import DetachKeys
from common.engine_client import ApiError, CannotConnectError, Client, LostConnectionError
from common.engine_duplex import Duplex

READ_BYTES = 64 * 1024
"""At most so many bytes of what is typed or piped in are held back while swarmd takes none."""
RESIZE_ATTEMPTS, RESIZE_PAUSE_SECONDS = 10, 0.05
"""The process may not have its terminal yet when we tell its size for the first time."""
ASK_SECONDS = 5.0
"""How long telling a size or a signal may take, for nothing else happens meanwhile."""
FORCED_BY = 3
"""So many interrupts end us though they are sent on to the container."""
_STDERR = 2


class End(Enum):
    """How a conversation ends."""

    ENDED = "the other end closed it: the process has ended"
    DETACHED = "the user typed the keys that leave the container alone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How to talk with the process."""

    tty: bool
    """Whether it has a terminal: then its output is one stream, and ours is raw while it reads from us."""
    stdin: int | None = None
    """What it reads; None: it gets nothing from us."""
    keys: bytes = b""
    """What detaches, on a terminal."""
    sig_proxy: bool = False
    """Whether our signals are its own."""

    @property
    def is_raw(self) -> bool:
        """Whether our terminal is given to the process."""
        return self.tty and self.stdin is not None and os.isatty(self.stdin)


class Far(Protocol):
    """The process at the other end, asked beside the stream; whether it took it."""

    def resize(self, rows: int, columns: int) -> bool:
        """The size of its terminal."""
        ...

    def kill(self, name: str) -> bool:
        """A signal for it, as ``INT``."""
        ...


class FarProcess:
    """A container or an exec, by its path."""

    def __init__(self, client: Client, path: str) -> None:
        self._client, self._path = client.patient(ASK_SECONDS), path

    def resize(self, rows: int, columns: int) -> bool:
        """The size of its terminal."""
        return self._asked("resize", h=str(rows), w=str(columns))

    def kill(self, name: str) -> bool:
        """A signal for it; an exec takes none."""
        return self._asked("kill", signal=name)

    def _asked(self, what: str, **query: str) -> bool:
        try:
            self._client.post(f"{self._path}/{what}", **query)
        except (ApiError, CannotConnectError):
            return False  # it has ended, or swarmd has: the stream tells which
        return True


@contextmanager
def prepared(manner: Manner) -> Iterator[None]:
    """The terminal is the process's for this time, and in order afterwards, whatever ends us.

    Raises:
        SignalledError: we are to end.
    """
    if not manner.is_raw or manner.stdin is None:
        yield
        return
    before = {number: signal.signal(number, _end) for number in ENDING}
    try:
        with terminal.raw(manner.stdin):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, _frame: FrameType | None) -> None:
    raise SignalledError(number)


def converse(duplex: Duplex, manner: Manner, far: Far) -> End:
    """Carries bytes both ways until the end.

    Raises:
        LostConnectionError: the connection broke.
        StreamError: what comes is not what swarmd sends.
        SignalledError: the user insists on our end.
    """
    wanted = FORWARDED if manner.sig_proxy and not manner.tty else frozenset()
    if manner.tty and _size() is not None:
        wanted |= {signal.SIGWINCH}
    with CaughtSignals(wanted) if wanted else nullcontext() as signals:
        return _Conversation(duplex, manner, far, signals).run()


def _size() -> tuple[int, int] | None:
    try:
        return terminal.size(sys.stdout.fileno())
    except (OSError, ValueError):
        return None  # it is no file


class _Conversation:
    def __init__(
        self, duplex: Duplex, manner: Manner, far: Far, signals: CaughtSignals | None
    ) -> None:
        self._duplex, self._manner, self._far, self._signals = duplex, manner, far, signals
        self._keys = DetachKeys(manner.keys) if manner.is_raw and manner.keys else None
        self._frames = None if manner.tty else Demultiplexer()
        self._selector = selectors.PollSelector()  # epoll takes no regular files
        self._pending = b""
        self._input_over = manner.stdin is None
        self._end_told = False
        self._interrupts = 0
        self._resizes_left = RESIZE_ATTEMPTS if manner.tty else 0
        self._end: End | None = None

    def run(self) -> End:
        """Until it ends."""
        with self._selector:
            self._watch(self._duplex, self._receive)
            if self._signals is not None:
                self._watch(self._signals, self._take_signals)
            if self._manner.stdin is not None:
                self._watch(self._manner.stdin, self._read_input)
            while self._end is None:
                self._tell_size()
                for key, _ in self._selector.select(self._patience()):
                    key.data()
                if self._duplex.holds_more():
                    self._receive()
        return self._end

    def _watch(self, what: "int | Duplex | CaughtSignals", act: Callable[[], None]) -> None:
        self._selector.register(what, selectors.EVENT_READ, act)

    def _patience(self) -> float | None:
        return RESIZE_PAUSE_SECONDS if self._resizes_left else None

    # ------------------------------------------------------------------------------------- output

    def _receive(self) -> None:
        if self._pending or self._duplex.holds_unsent():
            self._send()
        try:
            data = self._duplex.receive()
        except OSError as error:
            raise LostConnectionError(f"the connection to swarmd broke: {error}") from error
        if data is None or self._end is not None:
            return
        if data:
            self._show(data)
            return
        if self._frames is not None:
            self._frames.end()
        self._end = End.ENDED

    def _show(self, data: bytes) -> None:
        if self._frames is None:
            _write(data, to_stderr=False)
            return
        for stream, payload in self._frames.feed(data):
            _write(payload, to_stderr=stream == _STDERR)

    # -------------------------------------------------------------------------------------- input

    def _read_input(self) -> None:
        stdin = self._manner.stdin
        if stdin is None:
            return
        try:
            typed = os.read(stdin, READ_BYTES)
        except OSError:  # the terminal is gone, or there was none
            typed = b""
        self._pending, detached = self._keys.take(typed) if self._keys else (typed, False)
        if not typed and self._keys:
            self._pending = self._keys.rest()
        self._selector.unregister(stdin)  # until this is sent
        self._input_over = not typed
        self._send()
        if detached:
            self._end = End.DETACHED

    def _send(self) -> None:
        try:
            self._pending = self._pending[self._duplex.send(self._pending) :]
        except OSError:  # the process reads no more; what it wrote is still to come
            self._pending, self._input_over = b"", True
        if not self._pending:
            self._go_on_reading()
        watched = selectors.EVENT_READ
        if self._pending or self._duplex.holds_unsent():
            watched |= selectors.EVENT_WRITE
        self._selector.modify(self._duplex, watched, self._receive)

    def _go_on_reading(self) -> None:
        stdin = self._manner.stdin
        if self._input_over:
            if not self._end_told:
                self._end_told = True
                self._duplex.end_input()
        elif stdin is not None and stdin not in self._selector.get_map():
            self._watch(stdin, self._read_input)

    # ----------------------------------------------------------------------------- size and signals

    def _take_signals(self) -> None:
        for number in self._signals.taken() if self._signals is not None else ():
            if number == signal.SIGWINCH:
                self._resizes_left = RESIZE_ATTEMPTS
                continue
            self._interrupts += number in (signal.SIGINT, signal.SIGTERM)
            if self._interrupts >= FORCED_BY:
                raise SignalledError(number)
            self._far.kill(number.name.removeprefix("SIG"))

    def _tell_size(self) -> None:
        if not self._resizes_left:
            return
        size = _size()
        if size is None or self._far.resize(*size):
            self._resizes_left = 0
        else:
            self._resizes_left -= 1


def _write(data: bytes, *, to_stderr: bool) -> None:
    file = sys.stderr if to_stderr else sys.stdout
    file.buffer.write(data)
    file.flush()
