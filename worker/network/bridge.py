"""The default bridge: made, or found again and put right; marked in the kernel as ours, so that no other is touched."""

import ipaddress
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import ConflictError
from common.files import replace_durably
from worker.kernel import netlink
from worker.network.subnets import AddressPool, choose_subnet, overlapped_by

ALIAS = "swarmd bridge"
"""The link's alias in the kernel."""
DEFAULT_MTU = 1500
"""Where the host has no default route to take the uplink's from."""
_NONE = -1
_IPV6_SETTINGS = Path("/proc/sys/net/ipv6/conf")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """The bridge as it stands in the kernel."""

    name: str
    index: int
    subnet: ipaddress.IPv4Network
    mtu: int

    @property
    def gateway(self) -> ipaddress.IPv4Interface:
        """The bridge's own address: the subnet's first."""
        return ipaddress.IPv4Interface((self.subnet.network_address + 1, self.subnet.prefixlen))


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What of the host's network matters here."""

    interfaces: Sequence[netlink.Interface]
    routes: Sequence[netlink.Route]
    addresses: Sequence[netlink.HostAddress]

    def interface(self, name: str) -> netlink.Interface | None:
        """The interface of that name."""
        return next((link for link in self.interfaces if link.name == name), None)

    def taken(self, but: int) -> Sequence[ipaddress.IPv4Network]:
        """Every network that the host can reach other than through one interface."""
        return [
            *(route.destination for route in self.routes if route.interface != but),
            *(found.address.network for found in self.addresses if found.interface != but),
        ]

    def uplink_mtu(self) -> int:
        """The least MTU of the interfaces that lead into the world."""
        ways = {route.interface for route in self.routes if route.destination.prefixlen == 0}
        return min(
            (link.mtu for link in self.interfaces if link.index in ways and link.mtu),
            default=DEFAULT_MTU,
        )


def look_at_host() -> Host:
    """Asks the kernel."""
    return Host(
        interfaces=netlink.interfaces(), routes=netlink.routes(), addresses=netlink.addresses()
    )


def ensure_bridge(
    name: str, pools: Sequence[AddressPool], record: Path, *, subnet_in_use: bool
) -> Bridge:
    """Makes the bridge be there and up, with the subnet recorded before or, at first, one that is free.

    Args:
        name: of the interface.
        pools: where a subnet comes from.
        record: the file that remembers the choice.
        subnet_in_use: containers have addresses of the recorded subnet, so it stays even when the host has since
            got a route that overlaps it.

    Raises:
        ConflictError: the name belongs to an interface that is not ours.
        SystemFailureError: no pool has a free subnet.
        OSError: the kernel or the disk refused.
    """
    host = look_at_host()
    present = host.interface(name)
    if present is not None and present.alias != ALIAS:
        raise ConflictError(
            f"interface {name} exists and is not swarmd's", hint="choose another name with --bridge"
        )
    index = present.index if present else 0
    taken = host.taken(but=index if present else _NONE)
    recorded = _recorded(record)
    subnet = decide_subnet(recorded, pools, taken, in_use=subnet_in_use)
    if subnet != recorded:
        _record(record, subnet)
    bridge = Bridge(name=name, index=index, subnet=subnet, mtu=host.uplink_mtu())
    return _put_right(bridge, host)


def decide_subnet(
    recorded: ipaddress.IPv4Network | None,
    pools: Sequence[AddressPool],
    taken: Sequence[ipaddress.IPv4Network],
    *,
    in_use: bool,
) -> ipaddress.IPv4Network:
    """The recorded subnet as long as it can be kept, else a free one."""
    if recorded is None:
        return choose_subnet(pools, taken)
    obstacle = overlapped_by(recorded, taken)
    if obstacle is None:
        return recorded
    if in_use:
        _log.warning(
            "the containers' subnet overlaps a route of the host; it changes when no container is left",
            extra={"subnet": recorded, "route": obstacle},
        )
        return recorded
    return choose_subnet(pools, taken)


def ports_of_bridge(name: str) -> Sequence[int]:
    """Indexes of the links on our bridge; none when the bridge is not there or not ours."""
    host = look_at_host()
    bridge = host.interface(name)
    if bridge is None or bridge.alias != ALIAS:
        return ()
    return [link.index for link in host.interfaces if link.master == bridge.index]


def delete_bridge(name: str) -> None:
    """Deletes our bridge; none, or one that is not ours, stays as it is."""
    present = look_at_host().interface(name)
    if present is not None and present.alias == ALIAS:
        netlink.delete_link(present.index)


def _put_right(wanted: Bridge, host: Host) -> Bridge:
    index = wanted.index or netlink.create_bridge(
        wanted.name, alias=ALIAS, mac_address=mac_address(wanted.gateway.ip), mtu=wanted.mtu
    )
    present = [found.address for found in host.addresses if found.interface == wanted.index]
    for stale in present:
        if stale != wanted.gateway:
            netlink.remove_address(index, stale)
    if wanted.gateway not in present:
        netlink.add_address(index, wanted.gateway)
    generate = _IPV6_SETTINGS / wanted.name / "addr_gen_mode"
    if generate.exists():  # No IPv6 link-local address: this network has no IPv6.
        generate.write_text("1\n")
    netlink.set_up(index, mtu=wanted.mtu)
    return Bridge(name=wanted.name, index=index, subnet=wanted.subnet, mtu=wanted.mtu)


def mac_address(address: ipaddress.IPv4Address) -> str:
    """A link address made from an IP address, as Docker makes it: what neighbours remember stays true."""
    return "02:42:" + address.packed.hex(":")


def _recorded(record: Path) -> ipaddress.IPv4Network | None:
    try:
        return ipaddress.IPv4Network(json.loads(record.read_text())["subnet"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        _log.warning(
            "the record of the bridge's subnet is unreadable; another is chosen",
            extra={"file": record, "error": error},
        )
        return None


def _record(record: Path, subnet: ipaddress.IPv4Network) -> None:
    replace_durably(record, json.dumps({"subnet": str(subnet)}).encode())
