"""What interrupts a command, and what must not be interrupted."""

import contextlib
import signal
import threading
from collections.abc import Iterator, Mapping
from typing import Any

_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class InterruptedBySignalError(KeyboardInterrupt):
    """SIGTERM or SIGHUP: as good as an interrupt at the terminal."""


@contextlib.contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP are raised where the main thread is, as SIGINT is anyway."""

    def interrupt(_number: int, _frame: object) -> None:
        raise InterruptedBySignalError

    with _handling({signal.SIGTERM: interrupt, signal.SIGHUP: interrupt}):
        yield


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """What is being taken away is taken away: a second interrupt changes nothing."""
    with _handling(dict.fromkeys(_ENDS, signal.SIG_IGN)):
        yield


@contextlib.contextmanager
def _handling(handlers: Mapping[signal.Signals, Any]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
