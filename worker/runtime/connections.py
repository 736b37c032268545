"""The supervisor's side of the wire: clients, their requests and descriptors, and replies that may come later."""

import _socket  # ``socket`` adds a megabyte of enum and selectors
import os
import struct

from worker.runtime.eventloop import READABLE, WRITABLE, EventLoop
from worker.runtime.refusal import INVALID, SYSTEM, Refusal, describe
from worker.runtime.wire import FRAME_MAX, OK, FrameError, FrameReader, encode_frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Verb = Callable[["Request", object], None]

CONNECTIONS_MAX = 2048
"""Each further process that somebody waits for has one."""
BACKLOG = 256
DESCRIPTORS_MAX = 3
"""That come with one request: the standard streams of a further process."""
_READ_BYTES = 65536
_OUTGOING_MAX = 2 * FRAME_MAX
_PEER_FORMAT = "3i"
_REQUEST_PARTS = 3
_ANCILLARY_BYTES = _socket.CMSG_SPACE(DESCRIPTORS_MAX * struct.calcsize("i"))


class Request:
    """What a client asked, to be answered once."""

    __slots__ = ("_connection", "_number")

    def __init__(self, connection: "Connection", number: int) -> None:
        self._connection = connection
        self._number = number

    @property
    def is_heard(self) -> bool:
        """Whether the client is still there."""
        return self._connection.is_open

    @property
    def words(self) -> tuple[int, int]:
        """The connection's descriptor (-1 when it is closed) and the number, to be handed on."""
        return self._connection.fd, self._number

    def answer(self, value: object = None) -> None:
        """It is done."""
        self._connection.send((self._number, OK, value))

    def refuse(self, refusal: Refusal) -> None:
        """It cannot be done."""
        self._connection.send((self._number, refusal.kind, refusal.message))

    def take_descriptors(self) -> list[int]:
        """What came with the request; it is the taker's to close."""
        return self._connection.take_descriptors()

    def take_connection(self) -> "tuple[int, FrameReader]":
        """The connection itself, which speaks otherwise from here on; it is the taker's to close."""
        return self._connection.detach()

    def encode(self, value: object) -> bytes:
        """The answer, for a connection that was taken."""
        return encode_frame((self._number, OK, value))


class Connection:
    """One client."""

    def __init__(self, fd: int, loop: EventLoop, verbs: "dict[str, Verb]") -> None:
        self._fd = fd
        self._descriptors: list[int] = []
        self._loop = loop
        self._verbs = verbs
        self._reader = FrameReader()
        self._outgoing = bytearray()
        if fd >= 0:  # Else whoever asked has gone.
            loop.watch(fd, self._ready)

    @property
    def is_open(self) -> bool:
        """Whether anyone still listens."""
        return self._fd >= 0

    @property
    def fd(self) -> int:
        """Its descriptor; -1 once it is closed."""
        return self._fd

    def _ready(self, events: int) -> None:
        if events & WRITABLE:
            self._flush()
        if events & ~WRITABLE and self.is_open:
            self._read()

    def _read(self) -> None:
        try:
            piece = self._receive()
            values = self._reader.feed(piece)
        except BlockingIOError:
            return
        except (OSError, FrameError):
            self.close()
            return
        if not piece:
            self.close()
            return
        for value in values:
            if self.is_open:
                self._handle(value)

    def _receive(self) -> bytes:
        """What is there, and descriptors that came with it."""
        peer = _socket.socket(fileno=self._fd)
        try:
            piece, ancillary, flags, _ = peer.recvmsg(
                _READ_BYTES, _ANCILLARY_BYTES, _socket.MSG_CMSG_CLOEXEC
            )
        finally:
            peer.detach()
        size = struct.calcsize("i")
        for _level, kind, content in ancillary:
            if kind == _socket.SCM_RIGHTS:
                count = len(content) // size
                self._descriptors += struct.unpack(f"{count}i", content[: count * size])
        if flags & _socket.MSG_CTRUNC or len(self._descriptors) > DESCRIPTORS_MAX:
            raise FrameError("more descriptors than a request can have")
        return bytes(piece)

    def _handle(self, value: object) -> None:
        if not isinstance(value, tuple) or len(value) != _REQUEST_PARTS:
            self.close()
            return
        number, verb, arguments = value
        request = Request(self, number)
        action = self._verbs.get(verb)
        try:
            if action is None:
                request.refuse(Refusal(INVALID, f"the supervisor has no verb {verb!r}"))
            else:
                action(request, arguments)
        except Refusal as refusal:
            request.refuse(refusal)
        except OSError as error:
            request.refuse(Refusal(SYSTEM, describe(error)))
        except Exception as error:
            request.refuse(Refusal(SYSTEM, f"an error of the supervisor's: {describe(error)}"))
            raise

    def send(self, value: object) -> None:
        """Sends a value; a client that does not read its answers is cut off."""
        if not self.is_open:
            return
        self._outgoing += encode_frame(value)
        if len(self._outgoing) > _OUTGOING_MAX:
            self.close()
            return
        self._flush()

    def _flush(self) -> None:
        try:
            while self._outgoing:
                written = os.write(self._fd, self._outgoing)
                del self._outgoing[:written]
        except BlockingIOError:
            self._loop.watch(self._fd, self._ready, READABLE | WRITABLE)
            return
        except OSError:
            self.close()
            return
        self._loop.watch(self._fd, self._ready, READABLE)

    def take_descriptors(self) -> list[int]:
        """What has come and nobody has taken yet."""
        taken, self._descriptors = self._descriptors, []
        return taken

    def detach(self) -> tuple[int, FrameReader]:
        """Gives the connection away; from here on this one is closed."""
        fd, self._fd = self._fd, -1
        self._loop.forget(fd)
        self._close_descriptors()
        return fd, self._reader

    def _close_descriptors(self) -> None:
        for fd in self.take_descriptors():
            os.close(fd)

    def close(self) -> None:
        """Ends it; requests that wait are dropped when they are answered."""
        self._close_descriptors()
        if self._fd >= 0:
            self._loop.forget(self._fd)
            os.close(self._fd)
            self._fd = -1


class Listener:
    """The supervisor's socket."""

    def __init__(
        self, listening: "_socket.socket", loop: EventLoop, verbs: "dict[str, Verb]"
    ) -> None:
        self._socket = listening
        self._loop = loop
        self._verbs = verbs
        self._connections: list[Connection] = []
        os.set_blocking(listening.fileno(), False)
        loop.watch(listening.fileno(), self._accept)

    @property
    def fd(self) -> int:
        """Its descriptor, to be handed on over a re-execution."""
        return self._socket.fileno()

    def _accept(self, _events: int) -> None:
        try:
            fd, _ = self._socket._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - as ``socket`` does
        except OSError:
            return
        self._connections = [one for one in self._connections if one.is_open]
        if len(self._connections) >= CONNECTIONS_MAX or not _is_root(fd):
            os.close(fd)
            return
        os.set_blocking(fd, False)
        self._connections.append(Connection(fd, self._loop, self._verbs))

    def adopt(self, words: tuple[int, int]) -> Request:
        """Takes over a request that waits for its second answer, as ``Request.words`` gave it."""
        fd, number = words
        connection = Connection(fd, self._loop, self._verbs)
        self._connections.append(connection)
        return Request(connection, number)

    def close_connections(self, but: "set[int]") -> None:
        """Says good-bye to all clients but some; they may come again."""
        for connection in self._connections:
            if connection.fd not in but:
                connection.close()


def _is_root(fd: int) -> bool:
    peer = _socket.socket(fileno=fd)
    try:
        size = struct.calcsize(_PEER_FORMAT)
        credentials = peer.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, size)
        _, uid, _ = struct.unpack(_PEER_FORMAT, credentials)
    finally:
        peer.detach()
    return bool(uid == 0)


def listen(path: str) -> "_socket.socket":
    """Makes the socket, open to root alone; a former one is taken away.

    Raises:
        OSError: it cannot be made.
    """
    if os.path.lexists(path):
        os.unlink(path)
    listening = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    former = os.umask(0o177)
    try:
        listening.bind(path)
    finally:
        os.umask(former)
    listening.listen(BACKLOG)
    return listening
