"""How hosts are joined: ports of a switch that can be cut, in a namespace of its own."""

import ipaddress
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cli.lab.programs import inside, ip, run

BRIDGE = "br0"
_CUTS = """
table bridge cuts {
    set mute { type ifname; }
    set deaf { type ifname; }
    set apart { type ifname . ifname; }
    chain from { type filter hook prerouting priority 0; iifname @mute drop; }
    chain to { type filter hook postrouting priority 0; oifname @deaf drop; }
    chain between { type filter hook forward priority 0; iifname . oifname @apart drop; }
}
"""
"""Mute: nothing that the host sends gets through. Deaf: nothing gets through to it. Apart: from one to another."""


class Link(Protocol):
    """What joins a host's namespace to the world around it."""

    address: str
    """The host's."""
    client: str
    """A namespace from which the host is reached."""

    def plug(self, namespace: str) -> None:
        """Gives a new namespace its ``eth0``."""
        ...

    def unplug(self) -> None:
        """Takes the host's end away, with the other."""
        ...

    def erase(self) -> None:
        """Takes away what belongs to this link alone."""
        ...


@dataclass(frozen=True)
class Cuts:
    """Which hosts are cut off, as the switch has it."""

    mute: frozenset[str] = frozenset()
    deaf: frozenset[str] = frozenset()
    apart: frozenset[tuple[str, str]] = frozenset()
    """From, to."""

    def of(self, host: str) -> Iterator[str]:
        """Each cut that concerns a host, in words, with the host as their subject."""
        if host in self.mute:
            yield "cut off" if host in self.deaf else "not heard"
        for one, other in sorted(self.apart):
            if one == host:
                both = (other, one) in self.apart
                yield f"cut from {other}" if both else f"not heard by {other}"
            elif other == host and (other, one) not in self.apart:
                yield f"does not hear {one}"

    def removals(self, host: str) -> Iterator[str]:
        """What to tell ``nft`` so that no cut concerns a host any more."""
        for name, members in (("mute", self.mute), ("deaf", self.deaf)):
            if host in members:
                yield f"delete element bridge cuts {name} {{ {host} }}"
        for one, other in sorted(self.apart):
            if host in (one, other):
                yield f"delete element bridge cuts apart {{ {one} . {other} }}"


def read_cuts(listed: str) -> Cuts:
    """What ``nft -j list table bridge cuts`` tells."""
    sets: dict[str, list[Any]] = {
        item["set"]["name"]: item["set"].get("elem", [])
        for item in json.loads(listed)["nftables"]
        if "set" in item
    }
    return Cuts(
        mute=frozenset(sets.get("mute", ())),
        deaf=frozenset(sets.get("deaf", ())),
        apart=frozenset((one, other) for one, other in _pairs(sets.get("apart", ()))),
    )


def _pairs(elements: Iterable[Any]) -> Iterator[tuple[str, str]]:
    for element in elements:
        one, other = element["concat"]
        yield one, other


class Switch:
    """A bridge in a namespace of its own, which is also where clients are.

    Frames that a cut concerns are dropped without a word, as by a broken cable: connections stay open and hear nothing.
    """

    def __init__(self, namespace: str, network: str) -> None:
        self.namespace = namespace
        self._network = ipaddress.IPv4Network(network)

    @property
    def address(self) -> str:
        """The clients'."""
        return f"{self._network[-2]}"

    def is_there(self) -> bool:
        """Whether its namespace is."""
        return Path("/run/netns", self.namespace).exists()

    def make(self) -> None:
        """Makes the namespace with the bridge, and the table that cuts are entered in."""
        run("ip", "netns", "add", self.namespace)
        lines = [
            "link set lo up",
            f"link add {BRIDGE} type bridge",
            f"addr add {self.address}/{self._network.prefixlen} dev {BRIDGE}",
            f"link set {BRIDGE} up",
        ]
        ip(self.namespace, lines)
        self._nft(_CUTS)

    def erase(self) -> None:
        """Removes it."""
        run("ip", "netns", "del", self.namespace, check=False)

    def port(self, number: int, name: str) -> "Port":
        """The port for the host of that name; its number is its address in the network."""
        return Port(self, name, f"{self._network[number]}", self._network.prefixlen)

    def cut(self, name: str, *, from_: str | None = None, one_way: bool = False) -> None:
        """Cuts a host off: from another or from all. One way: it still hears them, but they do not hear it."""
        if from_ is None:
            self._nft(f"add element bridge cuts mute {{ {name} }}")
            if not one_way:
                self._nft(f"add element bridge cuts deaf {{ {name} }}")
            return
        self._nft(f"add element bridge cuts apart {{ {name} . {from_} }}")
        if not one_way:
            self._nft(f"add element bridge cuts apart {{ {from_} . {name} }}")

    def cuts(self) -> Cuts:
        """Who is cut off now."""
        listed = run(*inside(self.namespace), "nft", "-j", "list", "table", "bridge", "cuts")
        return read_cuts(listed.stdout)

    def heal(self, name: str | None = None) -> None:
        """Undoes every cut, or every cut that concerns one host."""
        if name is None:
            sets = ("mute", "deaf", "apart")
            self._nft("".join(f"flush set bridge cuts {kind}\n" for kind in sets))
            return
        self._nft("\n".join(self.cuts().removals(name)) + "\n")

    def _nft(self, commands: str) -> None:
        run(*inside(self.namespace), "nft", "-f", "-", text=commands)


class Port:
    """A host's place on a switch."""

    def __init__(self, switch: Switch, name: str, address: str, prefix_length: int) -> None:
        self.client, self.address = switch.namespace, address
        self._name, self._prefix_length = name, prefix_length

    def plug(self, namespace: str) -> None:
        """Links a new namespace with the bridge."""
        lines = [
            f"link add eth0 type veth peer name {self._name} netns {self.client}",
            f"addr add {self.address}/{self._prefix_length} dev eth0",
            "link set eth0 up",
        ]
        ip(namespace, lines)
        run("ip", "-n", self.client, "link", "set", self._name, "master", BRIDGE, "up")

    def unplug(self) -> None:
        """Removes the link."""
        run("ip", "-n", self.client, "link", "del", self._name, check=False)

    def erase(self) -> None:
        """Nothing: a port goes with its host's namespace."""
