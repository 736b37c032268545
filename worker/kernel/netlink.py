"""Interfaces, addresses and routes of the calling thread's network namespace, asked of the kernel or changed.

Packed by hand like the links of containers (``worker.kernel.veth``): pyroute2 would cost every daemon 11 MB and 84 ms
at its start, and cannot be called where an event loop runs.
"""

import ipaddress
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from worker.kernel.netlink_socket import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    Message,
    NetlinkSocket,
    attribute,
    attributes,
    nested,
    text,
    u32,
)

Address = ipaddress.IPv4Interface
Network = ipaddress.IPv4Network

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_GETROUTE = 24, 26
IFINFO = struct.Struct("=BxHiII")
"""struct ifinfomsg: family, type, index, flags, change."""
IFADDR = struct.Struct("=BBBBI")
"""struct ifaddrmsg: family, prefix length, flags, scope, index."""
ROUTE = struct.Struct("=BBBBBBBBI")
"""struct rtmsg: family, destination's and source's length, tos, table, protocol, scope, type, flags."""
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_LINKINFO, IFLA_IFALIAS = 1, 3, 4, 10, 18, 20
IFLA_INFO_KIND = 1
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST = 1, 2, 4
RTA_DST, RTA_OIF, RTA_GATEWAY = 1, 4, 5
IFF_UP = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """A link as the kernel has it."""

    index: int
    name: str
    kind: str = ""
    """"bridge", "veth", …; "" for a physical one."""
    mtu: int = 0
    alias: str = ""
    master: int = 0
    """Index of the bridge that it is a port of; 0 when it is none's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """An IPv4 route."""

    destination: Network
    interface: int
    """Index; 0 when it leads nowhere or several ways."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostAddress:
    """An IPv4 address of a link."""

    interface: int
    """Index."""
    address: Address


def interfaces() -> Sequence[Interface]:
    """All links."""
    with NetlinkSocket() as kernel:
        return [_interface(body) for body in kernel.dump(Message(RTM_GETLINK, _link()))]


def routes() -> Sequence[Route]:
    """All IPv4 routes of all tables."""
    question = ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)
    with NetlinkSocket() as kernel:
        return [_route(body) for body in kernel.dump(Message(RTM_GETROUTE, question))]


def addresses() -> Sequence[HostAddress]:
    """The IPv4 addresses of all links."""
    question = IFADDR.pack(socket.AF_INET, 0, 0, 0, 0)
    with NetlinkSocket() as kernel:
        return [_address(body) for body in kernel.dump(Message(RTM_GETADDR, question))]


def create_bridge(name: str, *, alias: str, mac_address: str, mtu: int) -> int:
    """Makes a bridge, still down, that carries ``alias``; gives its index."""
    body = (
        _link()
        + text(IFLA_IFNAME, name)
        + attribute(IFLA_ADDRESS, bytes.fromhex(mac_address.replace(":", "")))
        + u32(IFLA_MTU, mtu)
        + nested(IFLA_LINKINFO, text(IFLA_INFO_KIND, "bridge"))
    )
    with NetlinkSocket() as kernel:
        kernel.run([Message(RTM_NEWLINK, body, NLM_F_CREATE | NLM_F_EXCL)])
        index = _interface(
            kernel.get(Message(RTM_GETLINK, _link() + text(IFLA_IFNAME, name)))
        ).index
        kernel.run([Message(RTM_NEWLINK, _link(index) + text(IFLA_IFALIAS, alias))])
        return index


def set_up(index: int, *, mtu: int) -> None:
    """Brings a link up with this MTU."""
    body = IFINFO.pack(0, 0, index, IFF_UP, IFF_UP) + u32(IFLA_MTU, mtu)
    with NetlinkSocket() as kernel:
        kernel.run([Message(RTM_NEWLINK, body)])


def add_address(index: int, address: Address) -> None:
    """Gives a link an address."""
    with NetlinkSocket() as kernel:
        kernel.run([address_message(RTM_NEWADDR, index, address)])


def remove_address(index: int, address: Address) -> None:
    """Takes an address from a link."""
    with NetlinkSocket() as kernel:
        kernel.run([address_message(RTM_DELADDR, index, address)])


def delete_link(index: int) -> None:
    """Deletes a link."""
    with NetlinkSocket() as kernel:
        kernel.run([Message(RTM_DELLINK, _link(index))])


def address_message(kind: int, index: int, address: Address) -> Message:
    """Adds or removes an address."""
    body = (
        IFADDR.pack(socket.AF_INET, address.network.prefixlen, 0, 0, index)
        + attribute(IFA_LOCAL, address.ip.packed)
        + attribute(IFA_ADDRESS, address.ip.packed)
        + attribute(IFA_BROADCAST, address.network.broadcast_address.packed)
    )
    return Message(kind, body, NLM_F_CREATE if kind == RTM_NEWADDR else 0)


def _link(index: int = 0) -> bytes:
    return IFINFO.pack(0, 0, index, 0, 0)


def _interface(body: bytes) -> Interface:
    found = attributes(body, IFINFO.size)
    kind = attributes(found.get(IFLA_LINKINFO, b"")).get(IFLA_INFO_KIND, b"")
    return Interface(
        index=IFINFO.unpack_from(body)[2],
        name=_text(found.get(IFLA_IFNAME, b"")),
        kind=_text(kind),
        mtu=_number(found.get(IFLA_MTU)),
        alias=_text(found.get(IFLA_IFALIAS, b"")),
        master=_number(found.get(IFLA_MASTER)),
    )


def _route(body: bytes) -> Route:
    found = attributes(body, ROUTE.size)
    destination = found.get(RTA_DST, bytes(4))
    return Route(
        destination=Network((destination, ROUTE.unpack_from(body)[1])),
        interface=_number(found.get(RTA_OIF)),
    )


def _address(body: bytes) -> HostAddress:
    _, length, _, _, index = IFADDR.unpack_from(body)
    found = attributes(body, IFADDR.size)
    own = found.get(IFA_LOCAL, found.get(IFA_ADDRESS, bytes(4)))
    return HostAddress(interface=index, address=Address((own, length)))


def _number(data: bytes | None) -> int:
    return int(struct.unpack("=I", data)[0]) if data else 0


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="replace")
