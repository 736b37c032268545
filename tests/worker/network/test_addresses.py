import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import SystemFailureError
from worker.network.addresses import RESTING_MAX, AddressAllocator

SUBNET = ipaddress.IPv4Network("10.0.0.0/28")
ALL = [str(address) for address in list(SUBNET.hosts())[1:]]


def allocator(*used: str) -> AddressAllocator:
    return AddressAllocator(SUBNET, map(ipaddress.IPv4Address, used))


def test_all_but_network_gateway_and_broadcast_are_given_in_turn() -> None:
    addresses = allocator()
    assert str(addresses.gateway) == "10.0.0.1"
    assert [str(addresses.allocate()) for _ in ALL] == ALL
    with pytest.raises(SystemFailureError, match=r"no free address is left in 10\.0\.0\.0/28"):
        addresses.allocate()


def test_it_goes_on_after_the_highest_in_use() -> None:
    assert str(allocator("10.0.0.4", "10.0.0.7").allocate()) == "10.0.0.8"


def test_it_goes_round() -> None:
    addresses = allocator("10.0.0.14", "10.0.0.2")
    assert str(addresses.allocate()) == "10.0.0.3"


def test_an_address_just_freed_rests_while_another_is_free() -> None:
    addresses = allocator(*ALL[:-2])
    addresses.free(ipaddress.IPv4Address(ALL[0]))
    given = [str(addresses.allocate()) for _ in range(3)]
    assert given == [ALL[-2], ALL[-1], ALL[0]]


def test_of_those_that_rest_the_one_that_rested_longest_goes_first() -> None:
    addresses = allocator(*ALL)
    for address in (ALL[5], ALL[2], ALL[9]):
        addresses.free(ipaddress.IPv4Address(address))
    assert [str(addresses.allocate()) for _ in range(3)] == [ALL[5], ALL[2], ALL[9]]


def test_freeing_twice_is_freeing_once() -> None:
    addresses = allocator(*ALL)
    addresses.free(ipaddress.IPv4Address(ALL[3]))
    addresses.free(ipaddress.IPv4Address(ALL[3]))
    addresses.allocate()
    with pytest.raises(SystemFailureError):
        addresses.allocate()


@given(st.lists(st.one_of(st.none(), st.integers(0, 12)), max_size=60))
def test_no_address_is_given_twice_and_none_is_reused_early(steps: list[int | None]) -> None:
    """A step is an allocation (None) or gives back the n-th address in use."""
    addresses = allocator()
    used: list[ipaddress.IPv4Address] = []
    freed: list[ipaddress.IPv4Address] = []
    for step in steps:
        if step is not None and used:
            freed.append(used.pop(step % len(used)))
            addresses.free(freed[-1])
        elif step is None and len(used) < len(ALL):
            address = addresses.allocate()
            never_used = len(ALL) - len(used) - len(freed)
            assert address not in used
            assert address in SUBNET
            if address in freed:
                assert never_used == 0
                assert address == freed[0]
                freed.remove(address)
            used.append(address)
    assert len(freed) <= RESTING_MAX
