from collections.abc import Mapping, Sequence

import pytest

from cli.swarmd.addresses import advertised, listening, port_of, with_port, without_port
from common.errors import InvalidInputError

ONE = {"eth0": ("192.0.2.2", "fd00::2", "fe80::1")}
TWO = ONE | {"eth1": ("198.51.100.7",)}

CASES: dict[str, tuple[str, Mapping[str, Sequence[str]], str]] = {
    "the only one": ("", ONE, "192.0.2.2"),
    "none but the loopback": ("", {}, "127.0.0.1"),
    "IPv6 where there is nothing else": ("", {"eth0": ("fe80::1", "fd00::2")}, "fd00::2"),
    "an interface without an address does not count": (
        "",
        ONE | {"tap": ("fe80::2",)},
        "192.0.2.2",
    ),
    "asked for": ("198.51.100.7", TWO, "198.51.100.7"),
    "asked for with a port": ("198.51.100.7:2377", TWO, "198.51.100.7"),
    "an interface": ("eth1", TWO, "198.51.100.7"),
    "the loopback": ("127.0.0.1", TWO, "127.0.0.1"),
    "IPv6 with a port": ("[fd00::2]:2377", ONE, "fd00::2"),
}


@pytest.mark.parametrize(("asked", "own", "expected"), CASES.values(), ids=CASES)
def test_advertises(asked: str, own: Mapping[str, Sequence[str]], expected: str) -> None:
    assert advertised(asked, own) == expected


REFUSED = {
    "several to choose from": ("", "--advertise-addr"),
    "another machine's": ("203.0.113.9", "not an address of this machine"),
    "no address at all": ("somewhere", "neither an IP address"),
    "any address": ("0.0.0.0", "non-zero"),
}


@pytest.mark.parametrize(("asked", "message"), REFUSED.values(), ids=REFUSED)
def test_refuses(asked: str, message: str) -> None:
    with pytest.raises(InvalidInputError) as error:
        advertised(asked, TWO)
    assert message in str(error.value)


def test_an_ipv6_address_has_no_port_by_itself() -> None:
    assert without_port("fd00::2") == "fd00::2"


LISTENS: dict[str, tuple[str, tuple[str, int]]] = {
    "everywhere": ("0.0.0.0:2377", ("0.0.0.0", 2377)),
    "another port": ("0.0.0.0:4000", ("0.0.0.0", 4000)),
    "no port": ("192.0.2.2", ("192.0.2.2", 2377)),
    "an interface": ("eth1:4000", ("198.51.100.7", 4000)),
    "IPv6": ("[::]:2377", ("::", 2377)),
    "IPv6 without a port": ("fd00::2", ("fd00::2", 2377)),
}


@pytest.mark.parametrize(("asked", "expected"), LISTENS.values(), ids=LISTENS)
def test_listens(asked: str, expected: tuple[str, int]) -> None:
    assert listening(asked, TWO) == expected


@pytest.mark.parametrize("asked", ["somewhere:2377", "0.0.0.0:0", "0.0.0.0:65536", "[::]:x"])
def test_does_not_listen(asked: str) -> None:
    with pytest.raises(InvalidInputError):
        listening(asked, TWO)


@pytest.mark.parametrize(
    ("text", "port"), [("192.0.2.2", 7), ("192.0.2.2:2377", 2377), ("[fd00::2]:80", 80)]
)
def test_a_port_is_taken_from_the_address_or_is_the_default(text: str, port: int) -> None:
    assert port_of(text, 7) == port


def test_an_address_with_a_port_can_be_read_again() -> None:
    for host in ("192.0.2.2", "fd00::2"):
        assert (without_port(with_port(host, 80)), port_of(with_port(host, 80))) == (host, 80)
