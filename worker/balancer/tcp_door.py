"""A published TCP port as swarmd itself serves it: what reaches its listening socket is handed on to a backend.

That is what the kernel's rules cannot rewrite: connections from this host to a loopback address, and IPv6.
"""

import asyncio
import errno
import logging
import select
import socket
from collections import Counter
from collections.abc import Callable, Sequence

from worker.balancer.places import Places
from worker.balancer.relay import Relay, reset
from worker.balancer.table import Backend
from worker.balancer.turns import Turns

CONNECT_SECONDS_MAX = 3.0
TRIES_MAX = 8
"""Backends tried for one connection."""
RETRY_SECONDS = 0.1
"""Pause in accepting when the process is out of descriptors or memory."""
ACCEPTED_MAX = 32
"""Connections taken from one listener before others get their turn."""
_UNDER_WAY = frozenset({errno.EINPROGRESS, errno.EALREADY})
_DONE = frozenset({0, errno.EISCONN})

_log = logging.getLogger(__name__)


class TcpDoor:
    """Accepts on a port's listening sockets for as long as it is open."""

    def __init__(self, listeners: Sequence[socket.socket], relay: Relay, places: Places) -> None:
        """Begins to accept.

        Args:
            listeners: owned by the door.
            relay: passes bytes; a connection may outlive the door.
            places: how many connections may be handed on at once, all doors together.
        """
        self._turns = Turns()
        self._listeners = listeners
        self._relay = relay
        self._places = places
        self._live: Counter[Backend] = Counter()
        self._loop = asyncio.get_running_loop()
        self._is_open = True
        for listener in listeners:
            # Connections inherit both. A client of another host may vanish without a word.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            relay.watch(listener.fileno(), select.EPOLLIN, self._accepting(listener))

    def lead_to(self, backends: Sequence[Backend]) -> None:
        """From now on, connections are handed to these only; those that are under way stay where they are."""
        self._turns.backends = backends

    def live(self, backend: Backend) -> int:
        """How many connections it hands on to a backend."""
        return self._live[backend]

    def close(self) -> None:
        """Stops listening; connections that are under way go on."""
        self._is_open = False
        for listener in self._listeners:
            self._relay.forget(listener.fileno())
            listener.close()

    def _accepting(self, listener: socket.socket) -> Callable[[int], None]:
        return lambda _: self._accept(listener)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTED_MAX):
            if not self._places.take():
                self._watch(0)
                self._places.call_when_free(self._go_on)
                return
            try:
                client, _ = listener.accept()
            except OSError as error:
                self._places.give_back()
                if not isinstance(error, BlockingIOError | ConnectionAbortedError):
                    _log.warning("cannot accept a connection", extra={"reason": error.strerror})
                    self._watch(0)
                    self._loop.call_later(RETRY_SECONDS, self._go_on)
                return
            client.setblocking(False)  # noqa: FBT003 - the socket's own way
            _Handing(self._relay, self._turns, client, self._join, self._places.give_back)

    def _go_on(self) -> None:
        if self._is_open:
            self._watch(select.EPOLLIN)

    def _watch(self, events: int) -> None:
        for listener in self._listeners:
            self._relay.change(listener.fileno(), events)

    def _join(self, client: socket.socket, server: socket.socket, backend: Backend) -> None:
        self._live[backend] += 1

        def ended() -> None:
            self._live[backend] -= 1
            if not self._live[backend]:
                del self._live[backend]
            self._places.give_back()

        self._relay.join(client, server, ended)


class _Handing:
    """A client on its way to a backend: they are tried one after another until one answers."""

    __slots__ = ("_client", "_give_up", "_join", "_relay", "_tried", "_turns")

    def __init__(
        self,
        relay: Relay,
        turns: Turns,
        client: socket.socket,
        join: Callable[[socket.socket, socket.socket, Backend], None],
        give_up: Callable[[], None],
    ) -> None:
        self._relay = relay
        self._turns = turns
        self._client = client
        self._join = join
        self._give_up = give_up
        self._tried: set[Backend] = set()
        self._try_next()

    def _try_next(self) -> None:
        while len(self._tried) < TRIES_MAX and not self._relay.is_closed:
            backend = self._turns.next(but=self._tried)
            if backend is None:
                break
            self._tried.add(backend)
            if self._try(backend):
                return
        reset(self._client)
        self._give_up()

    def _try(self, backend: Backend) -> bool:
        """Whether it is connected, or may yet be."""
        try:
            server = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            _log.warning("cannot hand a connection on", extra={"reason": error.strerror})
            return False
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        place = (backend.address, backend.port)
        said = server.connect_ex(place)
        if said in _UNDER_WAY:
            # On this host the answer has come by now, as a rule.
            said = server.connect_ex(place)
        if said in _UNDER_WAY:
            _Connecting(self._relay, server, lambda found: self._answered(server, backend, found))
        elif said in _DONE:
            self._join(self._client, server, backend)
        else:
            server.close()
            return False
        return True

    def _answered(self, server: socket.socket, backend: Backend, is_there: bool) -> None:  # noqa: FBT001 - a callback's outcome
        # One that was taken out while we connected may be about to stop.
        if is_there and backend in self._turns.backends:
            self._join(self._client, server, backend)
        else:
            server.close()
            self._try_next()


class _Connecting:
    """Waits for the answer to a connection's request, for so long."""

    __slots__ = ("_answered", "_relay", "_server", "_timer")

    def __init__(
        self, relay: Relay, server: socket.socket, answered: Callable[[bool], None]
    ) -> None:
        self._relay = relay
        self._server = server
        self._answered = answered
        self._timer = asyncio.get_running_loop().call_later(CONNECT_SECONDS_MAX, self._end, 0)
        relay.watch(server.fileno(), select.EPOLLOUT, self._end)

    def _end(self, events: int) -> None:
        self._timer.cancel()
        self._relay.forget(self._server.fileno())
        failed = self._server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._answered(bool(events) and not failed)
