"""A connection to swarmd that has become a stream both ways: the client's end of attach and exec."""

import http.client
import socket
from http import HTTPStatus
from typing import Any, Protocol

UPGRADE_HEADERS = {"Connection": "Upgrade", "Upgrade": "tcp"}
RECEIVE_BYTES = 64 * 1024


class UnbufferedResponse(http.client.HTTPResponse):
    """An answer of which nothing is read ahead: what follows its head belongs to whoever takes the connection over."""

    def __init__(
        self,
        sock: socket.socket,
        debuglevel: int = 0,
        method: str | None = None,
        url: str | None = None,
    ) -> None:
        super().__init__(sock, debuglevel, method, url)
        self.fp.close()
        unbuffered: Any = sock.makefile("rb", buffering=0)
        self.fp = unbuffered


def is_switched(response: http.client.HTTPResponse) -> bool:
    """Whether the answer gives the connection away."""
    return response.status == HTTPStatus.SWITCHING_PROTOCOLS


class Connection(Protocol):
    """What is used of a socket."""

    def fileno(self) -> int:
        """To wait for."""
        ...

    def settimeout(self, value: float | None, /) -> None:
        """0 never waits."""
        ...

    def recv(self, size: int, /) -> bytes:
        """Nothing at the end."""
        ...

    def send(self, data: bytes, /) -> int:
        """How many it took."""
        ...

    def shutdown(self, how: int, /) -> None:
        """Ends one direction."""
        ...

    def close(self) -> None:
        """Ends it."""
        ...


class Duplex:
    """Bytes both ways, never blocking; whoever uses it waits for its descriptor."""

    def __init__(self, sock: Connection) -> None:
        sock.settimeout(0)
        self._socket = sock

    def fileno(self) -> int:
        """What to wait for."""
        return self._socket.fileno()

    def receive(self) -> bytes | None:
        """What has come; nothing at the end, None when nothing has come yet.

        Raises:
            OSError: it broke.
        """
        try:
            return self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return None

    def holds_more(self) -> bool:
        """Whether bytes are here that no waiting would tell of: those that TLS has taken off the wire."""
        pending = getattr(self._socket, "pending", None)
        return bool(pending and pending())

    def send(self, data: bytes) -> int:
        """How many of these bytes it took.

        Raises:
            OSError: it broke.
        """
        if not data and not self.holds_unsent():
            return 0
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0

    def holds_unsent(self) -> bool:
        """Whether bytes that it took still have to go (of TLS): sending nothing sends them on."""
        return bool(getattr(self._socket, "holds_unsent", False))

    def end_input(self) -> None:
        """Says that no more bytes will be sent; what comes is still received."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            return  # the other end is gone: reading tells

    def close(self) -> None:
        """Ends it."""
        self._socket.close()
