"""Connections that the kernel tracks to one backend: found to let it drain, forgotten when they never end."""

import errno
import ipaddress
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from worker.kernel.netlink_socket import (
    NETLINK_NETFILTER,
    Message,
    NetlinkSocket,
    attribute,
    attributes,
    nested,
    u32,
)

_CT_GET, _CT_DELETE = 0x0101, 0x0102
_GENERIC = struct.pack("=BBH", socket.AF_INET, 0, 0)
_CTA_TUPLE_ORIG, _CTA_TUPLE_REPLY, _CTA_PROTOINFO, _CTA_ID, _CTA_FILTER = 1, 2, 4, 12, 25
_CTA_TUPLE_IP, _CTA_TUPLE_PROTO = 1, 2
_CTA_IP_V4_SRC = 1
_CTA_PROTO_NUM, _CTA_PROTO_SRC_PORT = 1, 2
_CTA_PROTOINFO_TCP, _CTA_PROTOINFO_TCP_STATE = 1, 1
_CTA_FILTER_ORIG_FLAGS, _CTA_FILTER_REPLY_FLAGS = 1, 2
_BY_SOURCE, _BY_PROTOCOL, _BY_SOURCE_PORT = 1 << 0, 1 << 3, 1 << 4
_LIVE_TCP_STATES = range(1, 6)
"""SYN_SENT, SYN_RECV, ESTABLISHED, FIN_WAIT, CLOSE_WAIT: either side may still have something to say."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A tracked connection, by which the kernel finds it again at once."""

    original: bytes
    """How it was opened, as the kernel packs it."""
    id: bytes
    """Tells it from a later one between the same ends."""


def live_tcp(address: str, port: int) -> list[Connection]:
    """The TCP connections to this server that are not over.

    The kernel walks its whole table for the answer, however few they are: 10 ms where it has 262,144 places.
    """
    with NetlinkSocket(NETLINK_NETFILTER) as kernel:
        return [
            Connection(entry[_CTA_TUPLE_ORIG], entry.get(_CTA_ID, b""))
            for entry in _entries(kernel, socket.IPPROTO_TCP, address, port)
            if _tcp_state(entry) in _LIVE_TCP_STATES
        ]


def drop_ended(connections: list[Connection]) -> None:
    """Takes connections off the list's end until it ends with one that is not over: microseconds each."""
    with NetlinkSocket(NETLINK_NETFILTER) as kernel:
        while connections and not _is_live(kernel, connections[-1]):
            connections.pop()


def _is_live(kernel: NetlinkSocket, connection: Connection) -> bool:
    question = _GENERIC + nested(_CTA_TUPLE_ORIG, connection.original)
    try:
        entry = attributes(kernel.get(Message(_CT_GET, question)), len(_GENERIC))
    except OSError as error:
        if error.errno == errno.ENOENT:
            return False
        raise
    return entry.get(_CTA_ID, b"") == connection.id and _tcp_state(entry) in _LIVE_TCP_STATES


def forget_udp(address: str, port: int) -> int:
    """Forgets every UDP flow to this server, so that its client's next datagram goes to another; says how many."""
    forgotten = 0
    with NetlinkSocket(NETLINK_NETFILTER) as kernel:
        for entry in _entries(kernel, socket.IPPROTO_UDP, address, port):
            forgotten += _forget(kernel, entry)
    return forgotten


def _forget(kernel: NetlinkSocket, entry: Mapping[int, bytes]) -> int:
    body = _GENERIC + nested(_CTA_TUPLE_ORIG, entry[_CTA_TUPLE_ORIG])
    if _CTA_ID in entry:
        body += attribute(_CTA_ID, entry[_CTA_ID])
    try:
        kernel.run([Message(_CT_DELETE, body)])
    except OSError as error:
        if error.errno == errno.ENOENT:  # It ended by itself meanwhile.
            return 0
        raise
    return 1


def _entries(
    kernel: NetlinkSocket, protocol: int, address: str, port: int
) -> Iterator[Mapping[int, bytes]]:
    server = ipaddress.IPv4Address(address).packed
    tuple_of_reply = nested(
        _CTA_TUPLE_REPLY,
        nested(_CTA_TUPLE_IP, attribute(_CTA_IP_V4_SRC, server)),
        nested(
            _CTA_TUPLE_PROTO,
            attribute(_CTA_PROTO_NUM, bytes([protocol])),
            attribute(_CTA_PROTO_SRC_PORT, struct.pack("!H", port)),
        ),
    )
    flags = nested(
        _CTA_FILTER,
        u32(_CTA_FILTER_ORIG_FLAGS, 0),
        u32(_CTA_FILTER_REPLY_FLAGS, _BY_SOURCE | _BY_PROTOCOL | _BY_SOURCE_PORT),
    )
    for body in kernel.dump(Message(_CT_GET, _GENERIC + tuple_of_reply + flags)):
        entry = attributes(body, len(_GENERIC))
        # A kernel that knows no filters gives all entries.
        if _server(entry) == (protocol, server, port):
            yield entry


def _server(entry: Mapping[int, bytes]) -> tuple[int, bytes, int]:
    reply = attributes(entry.get(_CTA_TUPLE_REPLY, b""))
    end = attributes(reply.get(_CTA_TUPLE_IP, b""))
    transport = attributes(reply.get(_CTA_TUPLE_PROTO, b""))
    return (
        transport.get(_CTA_PROTO_NUM, b"\0")[0],
        end.get(_CTA_IP_V4_SRC, b""),
        int.from_bytes(transport.get(_CTA_PROTO_SRC_PORT, b""), "big"),
    )


def _tcp_state(entry: Mapping[int, bytes]) -> int:
    info = attributes(entry.get(_CTA_PROTOINFO, b""))
    tcp = attributes(info.get(_CTA_PROTOINFO_TCP, b""))
    return tcp.get(_CTA_PROTOINFO_TCP_STATE, b"\0")[0]
