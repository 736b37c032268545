"""A published TCP port as swarmd itself serves it: what reaches its listening socket is handed on to a backend.

That is what the kernel's rules cannot rewrite: connections from this host to a loopback address, and IPv6.
"""

import asyncio
import errno
import logging
import socket
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence

from worker.balancer.splice import reset, splice
from worker.balancer.table import Backend
from worker.balancer.turns import Turns

CONNECT_SECONDS_MAX = 3.0
TRIES_MAX = 8
"""Backends tried for one connection."""
RETRY_SECONDS = 0.1
"""Pause in accepting when the process is out of descriptors or memory."""
_PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_log = logging.getLogger(__name__)


class TcpDoor:
    """Accepts on a port's listening sockets for as long as it is open."""

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        start: Callable[[Coroutine[None, None, None]], asyncio.Task[None]],
        places: asyncio.Semaphore,
    ) -> None:
        """Begins to accept.

        Args:
            listeners: owned by the door.
            start: starts a task of the owner's; a connection may outlive the door.
            places: how many connections may be handed on at once, all doors together.
        """
        self._turns = Turns()
        self._listeners = listeners
        self._start = start
        self._places = places
        self._live: Counter[Backend] = Counter()
        self._tasks = [start(self._accept(listener)) for listener in listeners]

    def lead_to(self, backends: Sequence[Backend]) -> None:
        """From now on, connections are handed to these only; those that are under way stay where they are."""
        self._turns.backends = backends

    def live(self, backend: Backend) -> int:
        """How many connections it hands on to a backend."""
        return self._live[backend]

    def close(self) -> None:
        """Stops listening; connections that are under way go on."""
        for task in self._tasks:
            task.cancel()
        for listener in self._listeners:
            listener.close()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._places.acquire()
            try:
                client, _ = await loop.sock_accept(listener)
            except OSError as error:
                self._places.release()
                if error.errno in _PASSING:
                    _log.warning("cannot accept a connection", extra={"reason": error.strerror})
                    await asyncio.sleep(RETRY_SECONDS)
                elif error.errno != errno.ECONNABORTED:
                    raise
            except asyncio.CancelledError:
                self._places.release()
                raise
            else:
                self._start(self._serve(client))

    async def _serve(self, client: socket.socket) -> None:
        try:
            found = await self._connect()
            if found is None:
                reset(client)
                return
            backend, server = found
            self._live[backend] += 1
            try:
                await splice(client, server)
            finally:
                self._live[backend] -= 1
                if not self._live[backend]:
                    del self._live[backend]
        except OSError as error:
            _log.debug("a handed-on connection failed", extra={"reason": error})
        finally:
            client.close()
            self._places.release()

    async def _connect(self) -> tuple[Backend, socket.socket] | None:
        tried: set[Backend] = set()
        for _ in range(TRIES_MAX):
            backend = self._turns.next(but=tried)
            if backend is None:
                return None
            tried.add(backend)
            server = await _open(backend)
            if server is None:
                continue
            if backend in self._turns.backends:
                return backend, server
            server.close()  # It was taken out while we connected: its container may be about to stop.
        return None


async def _open(backend: Backend) -> socket.socket | None:
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        async with asyncio.timeout(CONNECT_SECONDS_MAX):
            loop = asyncio.get_running_loop()
            await loop.sock_connect(server, (backend.address, backend.port))
    except OSError:  # TimeoutError is one, too.
        server.close()
        return None
    except BaseException:
        server.close()
        raise
    return server
