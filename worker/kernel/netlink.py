"""Interfaces, addresses and routes of the calling thread's network namespace; the only user of pyroute2.

For what is done once in a while. Making a container's link goes through ``worker.kernel.veth`` instead.

Only threads without a running event loop may call this: pyroute2 runs one of its own. The library is imported by the
first call, so that its 0.1 s are that thread's, and a process that never asks does not hold its 11 MB.
"""

import _socket
import ipaddress
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyroute2 import IPRoute

Address = ipaddress.IPv4Interface
Network = ipaddress.IPv4Network


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
    with _kernel() as kernel:
        return [
            Interface(
                index=int(link["index"]),
                name=str(link.get_attr("IFLA_IFNAME")),
                kind=str(link.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") or ""),
                mtu=int(link.get_attr("IFLA_MTU") or 0),
                alias=str(link.get_attr("IFLA_IFALIAS") or ""),
                master=int(link.get_attr("IFLA_MASTER") or 0),
            )
            for link in kernel.get_links()
        ]


def routes() -> Sequence[Route]:
    """All IPv4 routes of all tables."""
    with _kernel() as kernel:
        return [
            Route(
                destination=Network((route.get_attr("RTA_DST") or "0.0.0.0", route["dst_len"])),  # noqa: S104 - the default route
                interface=int(route.get_attr("RTA_OIF") or 0),
            )
            for route in kernel.get_routes(family=socket.AF_INET)
        ]


def addresses() -> Sequence[HostAddress]:
    """The IPv4 addresses of all links."""
    with _kernel() as kernel:
        return [
            HostAddress(
                interface=int(entry["index"]),
                address=Address(
                    (
                        entry.get_attr("IFA_LOCAL") or entry.get_attr("IFA_ADDRESS"),
                        entry["prefixlen"],
                    )
                ),
            )
            for entry in kernel.get_addr(family=socket.AF_INET)
        ]


def create_bridge(name: str, *, alias: str, mac_address: str, mtu: int) -> int:
    """Makes a bridge, still down, that carries ``alias``; gives its index."""
    with _kernel() as kernel:
        kernel.link("add", ifname=name, kind="bridge", address=mac_address, mtu=mtu)
        index = next(iter(kernel.link_lookup(ifname=name)))
        kernel.link("set", index=index, ifalias=alias)
        return int(index)


def set_up(index: int, *, mtu: int) -> None:
    """Brings a link up with this MTU."""
    with _kernel() as kernel:
        kernel.link("set", index=index, mtu=mtu, state="up")


def add_address(index: int, address: Address) -> None:
    """Gives a link an address."""
    with _kernel() as kernel:
        kernel.addr(
            "add",
            index=index,
            address=str(address.ip),
            prefixlen=address.network.prefixlen,
            broadcast=str(address.network.broadcast_address),
        )


def remove_address(index: int, address: Address) -> None:
    """Takes an address from a link."""
    with _kernel() as kernel:
        kernel.addr(
            "del", index=index, address=str(address.ip), prefixlen=address.network.prefixlen
        )


def delete_link(index: int) -> None:
    """Deletes a link."""
    with _kernel() as kernel:
        kernel.link("del", index=index)


@contextmanager
def _kernel() -> "Iterator[IPRoute]":
    """A socket to ask by.

    Raises:
        OSError: what the kernel said to a request.
    """
    # Other libraries (PySyncObj 0.3.17) replace it by a function that only Windows needs, and pyroute2 keeps what it
    # finds when it is imported.
    socket.inet_ntop = _socket.inet_ntop
    from pyroute2 import IPRoute  # noqa: PLC0415 - see the module
    from pyroute2.netlink.exceptions import NetlinkError  # noqa: PLC0415 - see the module

    try:
        with IPRoute() as kernel:
            yield kernel
    except NetlinkError as error:
        raise OSError(error.code, os.strerror(error.code)) from error
