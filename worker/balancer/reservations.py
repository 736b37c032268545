"""The listening sockets by which swarmd holds a published port, so that no process of the host can have it too."""

import errno
import ipaddress
import socket
from contextlib import ExitStack

from common.model.endpoint import Protocol

BACKLOG = 1024
_ANY = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}  # noqa: S104 - a published port is published on all addresses
_NO_SUCH_FAMILY = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})


def take(protocol: Protocol, port: int, address: str = "") -> tuple[socket.socket, ...]:
    """Takes a port on all addresses of the host, IPv4 and, where the host has it, IPv6; all of it or nothing.

    With an ``address`` it takes the port there only.

    SCTP ports are not held: Linux lets only programs made for SCTP have one.

    Raises:
        OSError: EADDRINUSE when another process has it.
    """
    if protocol is Protocol.SCTP:
        return ()
    with ExitStack() as taken:
        sockets = [
            opened
            for family, at in _places(address)
            if (opened := _open(family, protocol, (at, port), taken)) is not None
        ]
        taken.pop_all()
        return tuple(sockets)


def _places(address: str) -> list[tuple[socket.AddressFamily, str]]:
    if not address:
        return list(_ANY.items())
    is_v4 = ipaddress.ip_address(address).version == 4  # noqa: PLR2004 - as it is called
    return [(socket.AF_INET if is_v4 else socket.AF_INET6, address)]


def _open(
    family: socket.AddressFamily, protocol: Protocol, place: tuple[str, int], taken: ExitStack
) -> socket.socket | None:
    kind = socket.SOCK_STREAM if protocol is Protocol.TCP else socket.SOCK_DGRAM
    try:
        opened = taken.enter_context(socket.socket(family, kind | socket.SOCK_NONBLOCK))
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if protocol is Protocol.TCP:
            # Connections of an earlier swarmd may linger; another listener is refused all the same.
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(place)
        if protocol is Protocol.TCP:
            opened.listen(BACKLOG)
    except OSError as error:
        if place[0] == _ANY[socket.AF_INET6] and error.errno in _NO_SUCH_FAMILY:
            return None
        raise
    return opened
