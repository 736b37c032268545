"""TLS whose directions end apart, for a client that has said all and still listens; Python's own sockets cannot."""

import contextlib
import io
import socket
import ssl
from typing import Any

from typing_extensions import override

READ_BYTES = 64 * 1024
RECORD_BYTES = 16 * 1024


class TlsSocket:
    """A TLS connection with as much of a socket's interface as ``http.client`` and ``Duplex`` use."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, name: str) -> None:
        """Shakes hands.

        Raises:
            OSError: the other side is not who it should be, or left.
        """
        self._socket = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._plain = bytearray()
        self._unsent = bytearray()
        self._is_over = False
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()
        self._flush()

    def fileno(self) -> int:
        """What to wait for."""
        return self._socket.fileno()

    def settimeout(self, seconds: float | None) -> None:
        """As of a socket."""
        self._socket.settimeout(seconds)

    def close(self) -> None:
        """Ends it, without a word."""
        self._socket.close()

    def pending(self) -> int:
        """How many bytes are here that no waiting would tell of."""
        return len(self._plain)

    @property
    def holds_unsent(self) -> bool:
        """Whether bytes that were taken still have to go."""
        return bool(self._unsent)

    def recv(self, limit: int) -> bytes:
        """What has come; nothing at the end.

        Raises:
            BlockingIOError: nothing yet, when it is not to wait.
            OSError: it broke.
        """
        while not self._plain and not self._is_over:
            self._decrypt()
            if self._plain or self._is_over:
                break
            self._fill()
        taken = bytes(self._plain[:limit])
        del self._plain[:limit]
        return taken

    def send(self, data: bytes) -> int:
        """How many of these bytes it took; sends on what it took before."""
        self._send_on()
        if self._unsent or not data:
            return 0
        count = self._tls.write(data[:RECORD_BYTES])
        self._unsent += self._outgoing.read()
        self._send_on()
        return count

    def sendall(self, data: bytes) -> None:
        """Sends all, waiting."""
        view = memoryview(data)
        while view:
            view = view[self._tls.write(view[:RECORD_BYTES]) :]
            self._flush()

    def shutdown(self, _how: int) -> None:
        """Says that no more will be sent; what comes is still received."""
        with contextlib.suppress(ssl.SSLError):  # the other side has not said so yet, and goes on
            self._tls.unwrap()
        self._unsent += self._outgoing.read()
        self._send_on()

    def makefile(self, _mode: str, buffering: int = -1) -> io.IOBase:
        """For reading, as ``http.client`` does."""
        raw = _Reader(self)
        return raw if buffering == 0 else io.BufferedReader(raw)

    def _decrypt(self) -> None:
        try:
            while True:
                data = self._tls.read(READ_BYTES)
                if not data:
                    self._is_over = True
                    return
                self._plain += data
        except ssl.SSLWantReadError:
            return
        except ssl.SSLZeroReturnError:
            self._is_over = True

    def _fill(self) -> None:
        data = self._socket.recv(READ_BYTES)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _flush(self) -> None:
        self._socket.sendall(self._outgoing.read())

    def _send_on(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: self._socket.send(self._unsent)]
        except BlockingIOError:
            return


class _Reader(io.RawIOBase):
    def __init__(self, connection: TlsSocket) -> None:
        self._connection = connection

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Any) -> int:
        data = self._connection.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)
