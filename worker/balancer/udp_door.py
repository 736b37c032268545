"""A published UDP port as swarmd itself serves it: datagrams to a loopback address or over IPv6, and their answers.

Each client has a flow: a socket of its own towards one backend, so that answers find their way back.
"""

import asyncio
import logging
import socket
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from common.clock import Clock
from worker.balancer.table import Backend
from worker.balancer.turns import Turns

FLOWS_MAX = 256
"""Clients of one port; the one that was silent longest makes room."""
IDLE_SECONDS_MAX = 60.0
DATAGRAM_MAX = 65535
READ_MAX = 32
"""Datagrams taken from one socket before others get their turn."""

_Address = tuple[str, int] | tuple[str, int, int, int]
_Key = tuple[int, _Address]
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Flow:
    backend: Backend
    server: socket.socket
    used_at: float


class UdpDoor:
    """Hands datagrams on for as long as it is open."""

    def __init__(self, listeners: Sequence[socket.socket], clock: Clock) -> None:
        """Begins to read from ``listeners``, which it owns."""
        self._turns = Turns()
        self._listeners = listeners
        self._clock = clock
        self._flows: OrderedDict[_Key, _Flow] = OrderedDict()
        self._loop = asyncio.get_running_loop()
        for listener in listeners:
            self._loop.add_reader(listener, self._from_clients, listener)

    def lead_to(self, backends: Sequence[Backend]) -> None:
        """From now on, datagrams go to these only."""
        self._turns.backends = backends
        for key in [key for key, flow in self._flows.items() if flow.backend not in backends]:
            self._end(key)

    def live(self, backend: Backend) -> int:
        """A datagram has no connection that could be waited for."""
        del backend
        return 0

    def close(self) -> None:
        """Stops."""
        for listener in self._listeners:
            self._loop.remove_reader(listener)
            listener.close()
        for key in list(self._flows):
            self._end(key)

    def _from_clients(self, listener: socket.socket) -> None:
        for _ in range(READ_MAX):
            try:
                data, client = listener.recvfrom(DATAGRAM_MAX)
            except BlockingIOError:
                return
            except OSError as error:  # An answer that found no client any more is told to us here.
                _log.debug("a client is gone", extra={"reason": error})
                continue
            flow = self._flow(listener, client)
            if flow is not None:
                self._send(flow, data)

    def _flow(self, listener: socket.socket, client: _Address) -> _Flow | None:
        key = (listener.fileno(), client)
        now = self._clock.monotonic()
        flow = self._flows.get(key)
        if flow is None:
            self._make_room(now)
            backend = self._turns.next()
            if backend is None:
                return None
            server = _open(backend)
            if server is None:
                return None
            flow = self._flows[key] = _Flow(backend, server, now)
            self._loop.add_reader(server, self._from_server, flow, listener, client)
        flow.used_at = now
        self._flows.move_to_end(key)
        return flow

    def _make_room(self, now: float) -> None:
        while self._flows:
            key, oldest = next(iter(self._flows.items()))
            if len(self._flows) < FLOWS_MAX and now - oldest.used_at < IDLE_SECONDS_MAX:
                return
            self._end(key)

    def _end(self, key: _Key) -> None:
        flow = self._flows.pop(key)
        self._loop.remove_reader(flow.server)
        flow.server.close()

    def _send(self, flow: _Flow, data: bytes) -> None:
        try:
            flow.server.send(data)
        except (
            OSError
        ) as error:  # Nobody listens there, or buffers are full: a datagram may get lost.
            _log.debug("a datagram was lost", extra={"backend": flow.backend, "reason": error})

    def _from_server(self, flow: _Flow, listener: socket.socket, client: _Address) -> None:
        for _ in range(READ_MAX):
            try:
                data = flow.server.recv(DATAGRAM_MAX)
                listener.sendto(data, client)
            except BlockingIOError:
                return
            except OSError as error:
                _log.debug("an answer was lost", extra={"backend": flow.backend, "reason": error})
                return


def _open(backend: Backend) -> socket.socket | None:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        server.connect((backend.address, backend.port))
    except OSError as error:
        _log.debug("a backend cannot be reached", extra={"backend": backend, "reason": error})
        server.close()
        return None
    return server
