"""Which subnet a network takes: the first of the pools that meets nothing the host can already reach."""

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from common.errors import SystemFailureError

LEAST_TELLING_PREFIX = 2
"""Shorter prefixes are default routes, whole (/0) or in halves (/1, as VPNs set them): they say nothing of use."""


class AddressPool(Protocol):
    """Addresses to cut subnets from."""

    @property
    def base(self) -> str:
        """For instance 172.17.0.0/16."""
        ...

    @property
    def size(self) -> int:
        """Prefix length of each subnet."""
        ...


@dataclass(frozen=True, slots=True)
class Pool:
    """An address pool as plain values."""

    base: str
    size: int


DEFAULT_POOLS: Sequence[AddressPool] = (
    *(Pool(f"172.{second}.0.0/16", 16) for second in range(17, 32)),
    Pool("192.168.0.0/16", 20),
)
"""Docker's."""


def choose_subnet(
    pools: Iterable[AddressPool], taken: Iterable[ipaddress.IPv4Network]
) -> ipaddress.IPv4Network:
    """The first subnet of the pools that overlaps nothing in ``taken``.

    Raises:
        SystemFailureError: there is none.
    """
    obstacles = list(taken)
    for subnet in _subnets(pools):
        if overlapped_by(subnet, obstacles) is None:
            return subnet
    raise SystemFailureError(
        "every subnet of the address pools overlaps a route or an address of this host",
        hint="give another pool with --default-address-pool",
    )


def overlapped_by(
    subnet: ipaddress.IPv4Network, taken: Iterable[ipaddress.IPv4Network]
) -> ipaddress.IPv4Network | None:
    """The first of ``taken`` that stands in this subnet's way."""
    return next(
        (
            network
            for network in taken
            if network.prefixlen >= LEAST_TELLING_PREFIX and subnet.overlaps(network)
        ),
        None,
    )


def _subnets(pools: Iterable[AddressPool]) -> Iterator[ipaddress.IPv4Network]:
    for pool in pools:
        base = ipaddress.ip_network(pool.base)
        if isinstance(base, ipaddress.IPv4Network):  # IPv6 pools wait for IPv6 networks.
            yield from base.subnets(new_prefix=pool.size)
