"""Pairs of connections joined to one: bytes, ends and resets of each side reach the other, at the pace of the slower.

All pairs share one epoll, which the event loop watches as a single descriptor: a connection costs neither a task nor
a transport, and is in the epoll until it is closed.
"""

import asyncio
import select
import socket
import struct
from collections.abc import Callable

READ_BYTES = 256 * 1024
"""Read at once from one side; as much may wait for the other."""
EVENTS_MAX = 64
"""Handled before the loop's other work gets its turn."""
_IN, _OUT = select.EPOLLIN, select.EPOLLOUT
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

Ready = Callable[[int], None]


def reset(connection: socket.socket) -> None:
    """Ends a connection so that its other side sees an error rather than an end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    connection.close()


class Relay:
    """Joins connections until it is closed."""

    def __init__(self) -> None:
        self.is_closed = False
        self.buffer = bytearray(READ_BYTES)
        self.view = memoryview(self.buffer)
        self._loop = asyncio.get_running_loop()
        self._epoll = select.epoll()
        self._ready: dict[int, Ready] = {}
        self._fresh: set[int] = set()
        """Watched since this turn began: what the turn has to tell of these numbers is of their predecessors."""
        self._loop.add_reader(self._epoll.fileno(), self._turn)

    def close(self) -> None:
        """Resets every connection; whoever watches else is told of no event, and is to forget."""
        self.is_closed = True
        for fd in tuple(self._ready):
            if fd in self._ready:
                self._ready[fd](0)
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def watch(self, fd: int, events: int, ready: Ready) -> None:
        """Calls ``ready`` in each turn in which one of ``events`` can be acted on."""
        self._epoll.register(fd, events)
        self._ready[fd] = ready
        self._fresh.add(fd)

    def change(self, fd: int, events: int) -> None:
        """Watches for these from now on."""
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """Watches no more; before the descriptor is closed."""
        del self._ready[fd]
        self._epoll.unregister(fd)

    def join(self, one: socket.socket, other: socket.socket, ended: Callable[[], None]) -> None:
        """Joins two connected sockets and owns them; ``ended`` is called when both are closed."""
        _Pair(self, one, other, ended)

    def _turn(self) -> None:
        self._fresh.clear()
        for fd, events in self._epoll.poll(0, EVENTS_MAX):
            ready = self._ready.get(fd)
            if ready is not None and fd not in self._fresh:
                ready(events)


class _Pair:
    """Two joined connections."""

    __slots__ = ("_ended", "_relay", "_sides")

    def __init__(
        self, relay: Relay, one: socket.socket, other: socket.socket, ended: Callable[[], None]
    ) -> None:
        self._relay = relay
        self._ended = ended
        left, right = _Side(self, relay, one), _Side(self, relay, other)
        left.peer, right.peer = right, left
        self._sides = (left, right)

    def end_if_over(self) -> None:
        """Closes both when both have ended and have been sent everything."""
        left, right = self._sides
        if left.has_ended and right.has_ended and not left.waiting and not right.waiting:
            self._close(socket.socket.close)

    def abort(self) -> None:
        """Resets both."""
        self._close(reset)

    def _close(self, close: Callable[[socket.socket], None]) -> None:
        for side in self._sides:
            self._relay.forget(side.fd)
            close(side.socket)
        self._ended()


class _Side:
    """One of two joined connections."""

    __slots__ = ("_events", "_pair", "_relay", "fd", "has_ended", "peer", "socket", "waiting")

    peer: "_Side"

    def __init__(self, pair: _Pair, relay: Relay, connection: socket.socket) -> None:
        self.socket = connection
        self.fd = connection.fileno()
        self.has_ended = False
        """It will send nothing more."""
        self.waiting = b""
        """For this side to take."""
        self._pair = pair
        self._relay = relay
        self._events: int = _IN
        relay.watch(self.fd, _IN, self._ready)

    def _ready(self, events: int) -> None:
        wanted = events & self._events
        try:
            if wanted & _OUT:
                self._write_on()
            if wanted & _IN:
                self._read()
        except BlockingIOError:
            return
        except OSError:
            self._pair.abort()
            return
        if wanted:
            if self.has_ended:
                self._pair.end_if_over()
        else:  # An error or a hang-up, which the kernel tells unasked.
            self._pair.abort()

    def _read(self) -> None:
        """Passes on what has come. While the peer cannot take it all, no more is read."""
        count = self.socket.recv_into(self._relay.buffer)
        if not count:
            self.has_ended = True
            self._want(self._events & ~_IN)
            if not self.peer.waiting:
                self.peer.socket.shutdown(socket.SHUT_WR)
            return
        view = self._relay.view
        try:
            sent = self.peer.socket.send(view[:count])
        except BlockingIOError:
            sent = 0
        if sent < count:
            self.peer.waiting = bytes(view[sent:count])
            self.peer._want(self.peer._events | _OUT)  # noqa: SLF001 - of the same class
            self._want(self._events & ~_IN)

    def _write_on(self) -> None:
        """Sends on what waits; when that is all, more may be read."""
        sent = self.socket.send(self.waiting)
        self.waiting = self.waiting[sent:]
        if self.waiting:
            return
        self._want(self._events & ~_OUT)
        if self.peer.has_ended:
            self.socket.shutdown(socket.SHUT_WR)
        else:
            self.peer._want(self.peer._events | _IN)  # noqa: SLF001 - of the same class

    def _want(self, events: int) -> None:
        self._events = events
        self._relay.change(self.fd, events)
