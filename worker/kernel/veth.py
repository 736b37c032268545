"""A container's link: a veth pair with one end on a bridge and the other, configured, in a network namespace."""

import errno
import ipaddress
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.kernel.namespaces import visiting
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

INSIDE_NAME = "eth0"
_LOOPBACK_INDEX = 1

_RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK, _RTM_NEWADDR, _RTM_NEWROUTE = 16, 17, 18, 20, 24
_IFINFO = struct.Struct("=BxHiII")
"""struct ifinfomsg: family, type, index, flags, change."""
_IFADDR = struct.Struct("=BBBBI")
"""struct ifaddrmsg: family, prefix length, flags, scope, index."""
_ROUTE = struct.Struct("=BBBBBBBBI")
"""struct rtmsg: family, destination's and source's length, tos, table, protocol, scope, type, flags."""
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_LINKINFO = 1, 3, 4, 10, 18
_IFLA_INFO_KIND = 1
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST = 1, 2, 4
_RTA_OIF, _RTA_GATEWAY = 4, 5
_IFF_UP = 1
_IFLA_AF_SPEC, _IFLA_NET_NS_FD = 26, 28
_IFLA_INFO_DATA, _IFLA_INFO_SLAVE_KIND, _IFLA_INFO_SLAVE_DATA = 2, 4, 5
_VETH_INFO_PEER = 1
_IFLA_BRPORT_MODE = 4
_IFLA_INET6_ADDR_GEN_MODE = 8
_ADDR_GEN_MODE_NONE = b"\1"
_RT_TABLE_MAIN, _RTPROT_BOOT, _RT_SCOPE_UNIVERSE, _RTN_UNICAST = 254, 3, 0, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What a container's link is to be."""

    name: str
    """Of the host's end."""
    bridge: int
    """Index."""
    mtu: int
    mac_address: bytes
    """Of the container's end."""
    address: ipaddress.IPv4Interface
    gateway: ipaddress.IPv4Address


def connect(host: NetlinkSocket, namespace: int, link: Link) -> None:
    """Makes the link; the host's end is joined to the bridge last, so that ``is_connected`` means all of it is done.

    Raises:
        OSError: the kernel refused; something of it may exist.
    """
    host.run([_create(link, namespace), *_without_link_local(link.name)])
    with visiting(namespace):
        inside = NetlinkSocket()
    with inside:
        inside.run(
            [_up(index=_LOOPBACK_INDEX), *_without_link_local(INSIDE_NAME), _up(INSIDE_NAME)]
        )
        inside.run(_address_and_route(_index(inside.get(_get(INSIDE_NAME))), link))
    host.run([_up(link.name, u32(_IFLA_MASTER, link.bridge)), _hairpin(link.name)])


def disconnect(host: NetlinkSocket, name: str) -> None:
    """Takes the link away, both ends; one that is gone already is fine."""
    try:
        host.run([Message(_RTM_DELLINK, _IFINFO.pack(0, 0, 0, 0, 0) + text(_IFLA_IFNAME, name))])
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise


def exists(host: NetlinkSocket, name: str) -> bool:
    """Whether there is a link of that name."""
    return _look(host, name) is not None


def is_connected(host: NetlinkSocket, name: str, bridge: int) -> bool:
    """Whether the link exists in full and is on this bridge."""
    answer = _look(host, name)
    if answer is None:
        return False
    flags = _IFINFO.unpack_from(answer)[3]
    master = attributes(answer, _IFINFO.size).get(_IFLA_MASTER, b"\0\0\0\0")
    return bool(flags & _IFF_UP) and struct.unpack("=I", master)[0] == bridge


def _look(host: NetlinkSocket, name: str) -> bytes | None:
    try:
        return host.get(_get(name))
    except OSError as error:
        if error.errno == errno.ENODEV:
            return None
        raise


def _create(link: Link, namespace: int) -> Message:
    inside_end = (
        _IFINFO.pack(0, 0, 0, 0, 0)
        + text(_IFLA_IFNAME, INSIDE_NAME)
        + u32(_IFLA_NET_NS_FD, namespace)
        + attribute(_IFLA_ADDRESS, link.mac_address)
        + u32(_IFLA_MTU, link.mtu)
    )
    body = (
        _IFINFO.pack(0, 0, 0, 0, 0)
        + text(_IFLA_IFNAME, link.name)
        + u32(_IFLA_MTU, link.mtu)
        + nested(
            _IFLA_LINKINFO,
            text(_IFLA_INFO_KIND, "veth"),
            nested(_IFLA_INFO_DATA, attribute(_VETH_INFO_PEER, inside_end)),
        )
    )
    return Message(_RTM_NEWLINK, body, NLM_F_CREATE | NLM_F_EXCL)


def _get(name: str) -> Message:
    return Message(_RTM_GETLINK, _IFINFO.pack(0, 0, 0, 0, 0) + text(_IFLA_IFNAME, name))


def _index(answer: bytes) -> int:
    return int(_IFINFO.unpack_from(answer)[2])


def _up(name: str = "", *more: bytes, index: int = 0) -> Message:
    named = text(_IFLA_IFNAME, name) if name else b""
    return Message(
        _RTM_NEWLINK, _IFINFO.pack(0, 0, index, _IFF_UP, _IFF_UP) + named + b"".join(more)
    )


def _without_link_local(name: str) -> Sequence[Message]:
    """No IPv6 link-local address, its timers and its solicitations: this network has no IPv6."""
    if not Path("/proc/sys/net/ipv6").is_dir():
        return ()
    mode = attribute(_IFLA_INET6_ADDR_GEN_MODE, _ADDR_GEN_MODE_NONE)
    spec = nested(_IFLA_AF_SPEC, nested(socket.AF_INET6, mode))
    body = _IFINFO.pack(0, 0, 0, 0, 0) + text(_IFLA_IFNAME, name) + spec
    return (Message(_RTM_NEWLINK, body),)


def _hairpin(name: str) -> Message:
    """A container may reach itself through its published port: the bridge sends a frame back where it came from."""
    slave = nested(
        _IFLA_LINKINFO,
        text(_IFLA_INFO_SLAVE_KIND, "bridge"),
        nested(_IFLA_INFO_SLAVE_DATA, attribute(_IFLA_BRPORT_MODE, b"\1")),
    )
    return Message(_RTM_NEWLINK, _IFINFO.pack(0, 0, 0, 0, 0) + text(_IFLA_IFNAME, name) + slave)


def _address_and_route(index: int, link: Link) -> Sequence[Message]:
    route = (
        _ROUTE.pack(
            socket.AF_INET, 0, 0, 0, _RT_TABLE_MAIN, _RTPROT_BOOT, _RT_SCOPE_UNIVERSE, _RTN_UNICAST, 0,
        )
        + attribute(_RTA_GATEWAY, link.gateway.packed)
        + u32(_RTA_OIF, index)
    )  # fmt: skip
    return (
        Message(_RTM_NEWADDR, _address(index, link.address), NLM_F_CREATE),
        Message(_RTM_NEWROUTE, route, NLM_F_CREATE),
    )


def _address(index: int, address: ipaddress.IPv4Interface) -> bytes:
    return (
        _IFADDR.pack(socket.AF_INET, address.network.prefixlen, 0, 0, index)
        + attribute(_IFA_LOCAL, address.ip.packed)
        + attribute(_IFA_ADDRESS, address.ip.packed)
        + attribute(_IFA_BROADCAST, address.network.broadcast_address.packed)
    )
