from pathlib import Path

import pytest

from worker.network.resolv_conf import Resolver, parse, read_resolver

CASES = {
    "plain": (
        "nameserver 192.0.2.53\nsearch a.example b.example\n",
        Resolver(nameservers=("192.0.2.53",), search=("a.example", "b.example")),
    ),
    "loopback servers are not a container's": (
        "nameserver 127.0.0.53\nnameserver 192.0.2.53\n",
        Resolver(nameservers=("192.0.2.53",)),
    ),
    "IPv6 servers cannot be reached": (
        "nameserver ::1\nnameserver 2001:db8::53\nnameserver fe80::1%eth0\n",
        Resolver(),
    ),
    "comments and noise": (
        "# nameserver 192.0.2.1\n; x\n\nnameserver\noptions edns0\nnameserver 192.0.2.2 # y\n",
        Resolver(nameservers=("192.0.2.2",)),
    ),
    "the last search line counts": (
        "domain old.example\nsearch new.example\n",
        Resolver(search=("new.example",)),
    ),
    "a search of the root is none": ("search .\n", Resolver()),
    "three servers at most": (
        "".join(f"nameserver 192.0.2.{number}\n" for number in range(1, 6)),
        Resolver(nameservers=("192.0.2.1", "192.0.2.2", "192.0.2.3")),
    ),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES)
def test_what_a_container_learns(text: str, expected: Resolver) -> None:
    assert parse(text) == expected


def test_a_host_without_the_file(tmp_path: Path) -> None:
    assert read_resolver(tmp_path / "resolv.conf").search == ()
