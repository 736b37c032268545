"""Logs of containers wherever they go: into files (``output``), or to the journal of systemd.

The journal takes datagrams of fields (systemd's "native journal protocol"). It is asked without waiting: while it is
busy entries wait here, up to ``WAITING_MAX``; the oldest are lost beyond that, and counted.
"""

import _socket  # ``socket`` adds a megabyte of enum and selectors
import errno

from worker.runtime.output import JSON_FILE, LogFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from worker.runtime.output import Attributes, Rule

    class Log(Protocol):
        """Where a container's entries go."""

        lost_entries: int
        """Those that were not taken."""

        @property
        def rule(self) -> Rule:
            """What it was made with."""
            ...

        def write(self, stream: str, entries: list[bytes], at_ns: int) -> None:
            """Takes entries of one moment."""
            ...

        def close(self) -> None:
            """Nothing more comes."""
            ...


JOURNALD = "journald"
WAITING_MAX = 1000
_PRIORITIES = {"stdout": b"6", "stderr": b"3"}
"""Informational and error, as Docker has it (syslog(3))."""
_LENGTH_BYTES = 8
_BUSY = (errno.EAGAIN, errno.ENOBUFS)


class JournalLog:
    """Entries into the journal, each with the container's fields."""

    __slots__ = ("_attributes", "_fields", "_path", "_socket", "_waiting", "lost_entries")

    def __init__(self, path: str, attributes: "Attributes") -> None:
        """``path`` is the journal's socket.

        Raises:
            OSError: there is none.
        """
        self._path, self._attributes = path, attributes
        self._fields = b"".join(_field(name, value.encode()) for name, value in attributes)
        self._waiting: list[bytes] = []
        self.lost_entries = 0
        self._socket = _socket.socket(
            _socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK
        )
        try:
            self._socket.connect(path)
        except OSError as error:
            self._socket.close()
            raise OSError(error.errno, f"no journal of systemd takes logs at {path}") from error

    @property
    def rule(self) -> "Rule":
        """What it was made with."""
        return self._path, 0, 1, JOURNALD, self._attributes

    def write(self, stream: str, entries: list[bytes], at_ns: int) -> None:
        """Sends entries of one moment."""
        priority = _field("PRIORITY", _PRIORITIES[stream])
        when = _field("SYSLOG_TIMESTAMP", str(at_ns).encode())
        for entry in entries:
            partial = b"" if entry.endswith(b"\n") else _field("CONTAINER_PARTIAL_MESSAGE", b"true")
            message = _field("MESSAGE", entry.removesuffix(b"\n"))
            self._waiting.append(message + priority + when + partial + self._fields)
        self._send()

    def _send(self) -> None:
        sent = 0
        for datagram in self._waiting:
            try:
                self._socket.send(datagram)
            except OSError as error:
                if error.errno not in _BUSY:
                    self._reconnect()
                break
            sent += 1
        del self._waiting[:sent]
        surplus = len(self._waiting) - WAITING_MAX
        if surplus > 0:
            self.lost_entries += surplus
            del self._waiting[:surplus]

    def _reconnect(self) -> None:
        """The journal was restarted: its socket is another one by now, or will be."""
        try:
            self._socket.connect(self._path)
        except OSError:
            return

    def close(self) -> None:
        """Sends what waits as well as it can; nothing more comes."""
        self._send()
        self.lost_entries += len(self._waiting)
        self._socket.close()


def _field(name: str, value: bytes) -> bytes:
    if b"\n" not in value:
        return name.encode() + b"=" + value + b"\n"
    length = len(value).to_bytes(_LENGTH_BYTES, "little")
    return name.encode() + b"\n" + length + value + b"\n"


def open_log(
    path: str,
    max_bytes: int,
    max_files: int,
    driver: str = JSON_FILE,
    attributes: "Attributes" = (),
) -> "Log":
    """The log that an order asks for.

    Raises:
        OSError: it cannot be opened.
    """
    if driver == JOURNALD:
        return JournalLog(path, attributes)
    return LogFile(path, max_bytes, max_files, driver, attributes)
