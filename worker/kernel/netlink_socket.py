"""Netlink messages, packed by hand and sent in batches: an encoder's overhead would be most of the cost."""

import os
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Self

NETLINK_NETFILTER = 12
SOL_NETLINK = 270
NLM_F_REQUEST = 0x01
NLM_F_ACK = 0x04
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_DUMP = 0x300
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLA_NESTED = 0x8000
_NLA_TYPE_MASK = 0x3FFF
_NETLINK_CAP_ACK = 10
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ERROR = struct.Struct("=i")

BATCH_MAX = 100
"""Messages sent at once, so that their acknowledgements fit into the socket's buffer."""
RECEIVE_BYTES = 65536
ANSWER_SECONDS_MAX = 10.0
"""The kernel answers within the send; a longer silence is an error."""


@dataclass(frozen=True, slots=True)
class Message:
    """One request."""

    type: int
    body: bytes
    flags: int = 0


def attribute(kind: int, data: bytes) -> bytes:
    """Packs an attribute."""
    return _ATTRIBUTE.pack(4 + len(data), kind) + data + bytes(-len(data) % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    """Packs an attribute made of attributes."""
    return attribute(kind | _NLA_NESTED, b"".join(attributes))


def u32(kind: int, value: int) -> bytes:
    """Packs a number in the machine's order."""
    return attribute(kind, struct.pack("=I", value))


def text(kind: int, value: str) -> bytes:
    """Packs a string with its closing zero."""
    return attribute(kind, value.encode() + b"\0")


def attributes(data: bytes, start: int = 0) -> Mapping[int, bytes]:
    """Unpacks attributes by kind; of a repeated kind the last."""
    found: dict[int, bytes] = {}
    while start + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, start)
        if length < 4 or start + length > len(data):  # noqa: PLR2004 - the attribute's own header
            break
        found[kind & _NLA_TYPE_MASK] = data[start + 4 : start + length]
        start += (length + 3) & ~3
    return found


class Received(NamedTuple):
    """One message of the kernel's."""

    type: int
    port: int
    """Of the socket whose request it answers or tells others of."""
    body: bytes


def messages(data: bytes) -> Iterator[Received]:
    """Cuts what was received into messages."""
    start = 0
    while start + _HEADER.size <= len(data):
        length, kind, _flags, _sequence, port = _HEADER.unpack_from(data, start)
        if length < _HEADER.size:
            break
        yield Received(kind, port, data[start + _HEADER.size : start + length])
        start += (length + 3) & ~3


class NetlinkSocket:
    """A socket of the network namespace that the calling thread is in; for one thread at a time."""

    def __init__(self, protocol: int = socket.NETLINK_ROUTE) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol
        )
        self._socket.setsockopt(SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        self._socket.settimeout(ANSWER_SECONDS_MAX)
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close()

    def run(self, requests: Sequence[Message]) -> None:
        """Has the kernel do all of it, in order; later messages are tried even when one fails.

        Raises:
            OSError: what the kernel said to the first message that failed.
        """
        failure = 0
        for start in range(0, len(requests), BATCH_MAX):
            chunk = requests[start : start + BATCH_MAX]
            self._send(chunk, NLM_F_ACK)
            open_answers = len(chunk)
            while open_answers:
                for kind, _, body in self._receive():
                    if kind == _NLMSG_ERROR:
                        failure = failure or _errno(body)
                        open_answers -= 1
        if failure:
            raise OSError(failure, os.strerror(failure))

    def get(self, message: Message) -> bytes:
        """The kernel's one answer to a question.

        Raises:
            OSError: what the kernel said instead.
        """
        self._send([message], 0)
        for kind, _, body in self._receive():
            if kind == _NLMSG_ERROR:
                raise OSError(_errno(body), os.strerror(_errno(body)))
            return body
        raise OSError(0, "the kernel gave an empty answer")

    def dump(self, message: Message) -> list[bytes]:
        """All objects that the question selects.

        Raises:
            OSError: what the kernel said instead.
        """
        self._send([message], NLM_F_DUMP)
        found: list[bytes] = []
        while True:
            for kind, _, body in self._receive():
                if kind == _NLMSG_DONE:
                    return found
                if kind == _NLMSG_ERROR:
                    raise OSError(_errno(body), os.strerror(_errno(body)))
                found.append(body)

    def _send(self, requests: Sequence[Message], flags: int) -> None:
        packed = bytearray()
        for message in requests:
            self._sequence = (self._sequence + 1) & 0xFFFFFFFF
            packed += _HEADER.pack(
                _HEADER.size + len(message.body),
                message.type,
                message.flags | flags | NLM_F_REQUEST,
                self._sequence,
                0,
            )
            packed += message.body
            packed += bytes(-len(message.body) % 4)
        self._socket.send(packed)

    def _receive(self) -> Iterator[Received]:
        return messages(self._socket.recv(RECEIVE_BYTES))


def _errno(body: bytes) -> int:
    return -int(_ERROR.unpack_from(body)[0])
