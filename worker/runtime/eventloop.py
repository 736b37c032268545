"""The supervisor's loop: descriptors that became ready, and moments that have come. One thread, no coroutine."""

import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Handler = Callable[[int], None]

READABLE = select.EPOLLIN
WRITABLE = select.EPOLLOUT
_MILLISECOND = 1_000_000
EVENTS_MAX = 64
"""Handled in one round; the kernel gives the others their turn in the next."""


class EventLoop:
    """Calls a handler when its descriptor is ready."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._fresh: set[int] = set()
        """Descriptors that are watched since the last look: what was seen at it may be of another with this number."""
        self._alarms: dict[str, tuple[int, Callable[[], None]]] = {}

    def watch(self, fd: int, handler: "Handler", events: int = READABLE) -> None:
        """Calls ``handler(events)`` whenever the descriptor is ready; it must not wait."""
        if fd in self._handlers:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
            self._fresh.add(fd)
        self._handlers[fd] = handler

    def forget(self, fd: int) -> None:
        """Ends what ``watch`` began; before the descriptor is closed."""
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def call_at(self, name: str, at_ns: int, action: "Callable[[], None]") -> None:
        """Calls once, when the monotonic clock has come so far; the same name again replaces."""
        self._alarms[name] = (at_ns, action)

    def cancel(self, name: str) -> None:
        """Takes a call back."""
        self._alarms.pop(name, None)

    def run_once(self) -> None:
        """Waits for something and handles it."""
        timeout = -1.0
        if self._alarms:
            first = min(at_ns for at_ns, _ in self._alarms.values())
            timeout = max(first - time.monotonic_ns(), 0) / 1_000_000_000 + 0.0005
        self._fresh.clear()
        for fd, events in self._epoll.poll(timeout, EVENTS_MAX):
            handler = self._handlers.get(fd)
            if handler is not None and fd not in self._fresh:
                handler(events)
        if self._alarms:
            self._ring()

    def _ring(self) -> None:
        now = time.monotonic_ns()
        for name, (at_ns, action) in list(self._alarms.items()):
            if at_ns <= now:
                self._alarms.pop(name, None)
                action()


def after_ms(milliseconds: int) -> int:
    """The monotonic clock so much later."""
    return time.monotonic_ns() + milliseconds * _MILLISECOND
