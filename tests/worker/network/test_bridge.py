import ipaddress

import pytest

from worker.kernel.netlink import Address, HostAddress, Interface, Network, Route
from worker.network.bridge import DEFAULT_MTU, Host, decide_subnet, mac_address
from worker.network.subnets import Pool

POOLS = [Pool("10.1.0.0/16", 16), Pool("10.2.0.0/16", 16)]
FIRST, SECOND = Network("10.1.0.0/16"), Network("10.2.0.0/16")
IN_THE_WAY = [Network("10.1.2.0/24")]

CASES = {
    "at first, a free one": (None, [], False, FIRST),
    "at first, one in nobody's way": (None, IN_THE_WAY, False, SECOND),
    "it stays": (SECOND, [], False, SECOND),
    "a new route makes it move": (FIRST, IN_THE_WAY, False, SECOND),
    "but not away from its containers": (FIRST, IN_THE_WAY, True, FIRST),
    "one of other pools stays, too": (Network("10.9.0.0/24"), [], False, Network("10.9.0.0/24")),
}


@pytest.mark.parametrize(("recorded", "taken", "in_use", "expected"), CASES.values(), ids=CASES)
def test_which_subnet(
    recorded: Network | None, taken: list[Network], *, in_use: bool, expected: Network
) -> None:
    assert decide_subnet(recorded, POOLS, taken, in_use=in_use) == expected


HOST = Host(
    interfaces=[
        Interface(index=1, name="lo", mtu=65536),
        Interface(index=2, name="eth0", mtu=1450),
        Interface(index=3, name="tun0", mtu=1400),
        Interface(index=4, name="swarmd0", mtu=1400),
    ],
    routes=[
        Route(destination=Network("0.0.0.0/0"), interface=2),
        Route(destination=Network("198.51.100.0/24"), interface=3),
        Route(destination=Network("172.17.0.0/16"), interface=4),
    ],
    addresses=[HostAddress(interface=2, address=Address("192.0.2.1/24"))],
)


def test_the_mtu_is_that_of_the_way_into_the_world() -> None:
    assert HOST.uplink_mtu() == 1450
    assert Host(interfaces=(), routes=(), addresses=()).uplink_mtu() == DEFAULT_MTU


def test_what_is_taken_are_routes_and_addresses_of_all_other_interfaces() -> None:
    assert HOST.taken(but=4) == [
        Network("0.0.0.0/0"),
        Network("198.51.100.0/24"),
        Network("192.0.2.0/24"),
    ]


def test_a_link_address_is_made_from_the_address() -> None:
    assert mac_address(ipaddress.IPv4Address("172.17.0.2")) == "02:42:ac:11:00:02"
