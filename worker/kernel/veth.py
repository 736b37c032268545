"""A container's link: a veth pair with one end on a bridge and the other, configured, in a network namespace."""

import errno
import ipaddress
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.kernel.namespaces import visiting
from worker.kernel.netlink import (
    IFF_UP,
    IFINFO,
    IFLA_ADDRESS,
    IFLA_IFNAME,
    IFLA_INFO_KIND,
    IFLA_LINKINFO,
    IFLA_MASTER,
    IFLA_MTU,
    ROUTE,
    RTA_GATEWAY,
    RTA_OIF,
    RTM_DELLINK,
    RTM_GETLINK,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWROUTE,
    address_message,
)
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
    host.run([_up(link.name, u32(IFLA_MASTER, link.bridge)), _hairpin(link.name)])


def disconnect(host: NetlinkSocket, name: str) -> None:
    """Takes the link away, both ends; one that is gone already is fine."""
    try:
        host.run([Message(RTM_DELLINK, IFINFO.pack(0, 0, 0, 0, 0) + text(IFLA_IFNAME, name))])
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
    flags = IFINFO.unpack_from(answer)[3]
    master = attributes(answer, IFINFO.size).get(IFLA_MASTER, b"\0\0\0\0")
    return bool(flags & IFF_UP) and struct.unpack("=I", master)[0] == bridge


def _look(host: NetlinkSocket, name: str) -> bytes | None:
    try:
        return host.get(_get(name))
    except OSError as error:
        if error.errno == errno.ENODEV:
            return None
        raise


def _create(link: Link, namespace: int) -> Message:
    inside_end = (
        IFINFO.pack(0, 0, 0, 0, 0)
        + text(IFLA_IFNAME, INSIDE_NAME)
        + u32(_IFLA_NET_NS_FD, namespace)
        + attribute(IFLA_ADDRESS, link.mac_address)
        + u32(IFLA_MTU, link.mtu)
    )
    body = (
        IFINFO.pack(0, 0, 0, 0, 0)
        + text(IFLA_IFNAME, link.name)
        + u32(IFLA_MTU, link.mtu)
        + nested(
            IFLA_LINKINFO,
            text(IFLA_INFO_KIND, "veth"),
            nested(_IFLA_INFO_DATA, attribute(_VETH_INFO_PEER, inside_end)),
        )
    )
    return Message(RTM_NEWLINK, body, NLM_F_CREATE | NLM_F_EXCL)


def _get(name: str) -> Message:
    return Message(RTM_GETLINK, IFINFO.pack(0, 0, 0, 0, 0) + text(IFLA_IFNAME, name))


def _index(answer: bytes) -> int:
    return int(IFINFO.unpack_from(answer)[2])


def _up(name: str = "", *more: bytes, index: int = 0) -> Message:
    named = text(IFLA_IFNAME, name) if name else b""
    return Message(RTM_NEWLINK, IFINFO.pack(0, 0, index, IFF_UP, IFF_UP) + named + b"".join(more))


def _without_link_local(name: str) -> Sequence[Message]:
    """No IPv6 link-local address, its timers and its solicitations: this network has no IPv6."""
    if not Path("/proc/sys/net/ipv6").is_dir():
        return ()
    mode = attribute(_IFLA_INET6_ADDR_GEN_MODE, _ADDR_GEN_MODE_NONE)
    spec = nested(_IFLA_AF_SPEC, nested(socket.AF_INET6, mode))
    body = IFINFO.pack(0, 0, 0, 0, 0) + text(IFLA_IFNAME, name) + spec
    return (Message(RTM_NEWLINK, body),)


def _hairpin(name: str) -> Message:
    """A container may reach itself through its published port: the bridge sends a frame back where it came from."""
    slave = nested(
        IFLA_LINKINFO,
        text(_IFLA_INFO_SLAVE_KIND, "bridge"),
        nested(_IFLA_INFO_SLAVE_DATA, attribute(_IFLA_BRPORT_MODE, b"\1")),
    )
    return Message(RTM_NEWLINK, IFINFO.pack(0, 0, 0, 0, 0) + text(IFLA_IFNAME, name) + slave)


def _address_and_route(index: int, link: Link) -> Sequence[Message]:
    route = (
        ROUTE.pack(
            socket.AF_INET, 0, 0, 0, _RT_TABLE_MAIN, _RTPROT_BOOT, _RT_SCOPE_UNIVERSE, _RTN_UNICAST, 0,
        )
        + attribute(RTA_GATEWAY, link.gateway.packed)
        + u32(RTA_OIF, index)
    )  # fmt: skip
    return (
        address_message(RTM_NEWADDR, index, link.address),
        Message(RTM_NEWROUTE, route, NLM_F_CREATE),
    )
