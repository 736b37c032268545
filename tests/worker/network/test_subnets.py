import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import SystemFailureError
from worker.network.subnets import DEFAULT_POOLS, Pool, choose_subnet

Network = ipaddress.IPv4Network

CASES = {
    "nothing is taken: the first": ([], "172.17.0.0/16"),
    "docker is there": (["172.17.0.0/16"], "172.18.0.0/16"),
    "a route into a part of it": (["172.17.5.0/24", "172.18.0.1/32"], "172.19.0.0/16"),
    "a route that covers several": (["172.16.0.0/13"], "172.24.0.0/16"),
    "a default route says nothing": (["0.0.0.0/0"], "172.17.0.0/16"),
    "a default route in halves says nothing": (["0.0.0.0/1", "128.0.0.0/1"], "172.17.0.0/16"),
    "all of 172.16/12": (["172.16.0.0/12"], "192.168.0.0/20"),
    "and the first of 192.168": (["172.16.0.0/12", "192.168.1.0/24"], "192.168.16.0/20"),
}


@pytest.mark.parametrize(("taken", "expected"), CASES.values(), ids=CASES)
def test_the_first_subnet_in_nobodys_way(taken: list[str], expected: str) -> None:
    assert choose_subnet(DEFAULT_POOLS, map(Network, taken)) == Network(expected)


def test_no_subnet_is_left() -> None:
    with pytest.raises(SystemFailureError, match="--default-address-pool"):
        choose_subnet([Pool("10.0.0.0/24", 25)], [Network("10.0.0.0/8")])


def test_an_ipv6_pool_is_passed_over() -> None:
    pools = [Pool("fd00::/64", 96), Pool("10.0.0.0/16", 24)]
    assert choose_subnet(pools, []) == Network("10.0.0.0/24")


networks = st.builds(
    lambda address, length: Network((address, length), strict=False),
    st.integers(0, 2**32 - 1),
    st.integers(2, 32),
)


@given(st.lists(networks, max_size=30))
def test_it_never_overlaps_what_is_taken(taken: list[Network]) -> None:
    try:
        chosen = choose_subnet(DEFAULT_POOLS, taken)
    except SystemFailureError:
        return
    assert not any(chosen.overlaps(network) for network in taken)
