from collections.abc import Mapping

import pytest

from worker.kernel.netfilter import count_contents, lacks

LISTING = """table inet swarmd {
    map ports {
        type inet_proto . inet_service : verdict
        elements = { tcp . 80 : goto port-tcp-80,
                 tcp . 81 : goto port-tcp-81,
                 udp . 53 : goto port-udp-53 }
    }

    map more {
        type inet_proto . inet_service : verdict
        size 65535
        elements = { tcp . 80 : accept, tcp . 81 : accept }
    }

    set refused {
        type inet_proto . inet_service
    }

    chain empty {
    }

    chain port-tcp-80 {
        meta l4proto tcp dnat ip to numgen inc mod 2 map { 0 : 172.17.0.2 . 80, 1 : 172.17.0.3 . 80 }
    }

    chain published-refused {
        type filter hook input priority filter; policy accept;
        ct state new meta l4proto . tcp dport @refused reject with tcp reset
        ct state new meta l4proto . th dport @refused reject
    }
}
"""


def test_a_listing_says_how_much_everything_holds() -> None:
    assert count_contents(LISTING) == {
        "ports": 3,
        "more": 2,
        "refused": 0,
        "empty": 0,
        "port-tcp-80": 1,
        "published-refused": 2,
    }


CASES: Mapping[str, tuple[dict[str, int], bool]] = {
    "all there": ({"chain": 2, "set": 0}, False),
    "more than we made": ({"chain": 3, "set": 1, "theirs": 1}, False),
    "a rule gone": ({"chain": 1, "set": 0}, True),
    "a chain flushed": ({"chain": 0, "set": 0}, True),
    "an empty set gone": ({"chain": 2}, True),
    "the table gone": ({}, True),
}


@pytest.mark.parametrize(("found", "expected"), CASES.values(), ids=CASES)
def test_what_is_less_than_wanted_is_a_loss(found: dict[str, int], *, expected: bool) -> None:
    assert lacks(found, {"chain": 2, "set": 0}) is expected
