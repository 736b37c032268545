"""How hosts are joined: a veth pair to a client, or ports of a switch that can be cut; in namespaces of their own."""

import ipaddress
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

COMMAND_SECONDS_MAX = 120


def run(*command: str | Path, check: bool = True, **more: Any) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end and gives what it said."""
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_SECONDS_MAX,
        **more,
    )
    assert not check or done.returncode == 0, (
        f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    )
    return done


def inside(namespace: str) -> list[str]:
    """The words before a command that is to run in a namespace. (``ip netns exec`` would hide /sys/fs/cgroup.)"""
    return ["nsenter", f"--net=/run/netns/{namespace}", "--"]


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


class Pair:
    """A client of the host's own, at the other end of a veth pair."""

    def __init__(self, client: str, address: str, client_address: str) -> None:
        self.client, self.address, self._client_address = client, address, client_address

    def plug(self, namespace: str) -> None:
        """Makes the client's namespace unless it is there, and the link."""
        if not Path("/run/netns", self.client).exists():
            run("ip", "netns", "add", self.client)
            run("ip", "-n", self.client, "link", "set", "lo", "up")
        run(
            "ip", "-n", namespace, "link", "add", "eth0", "type", "veth",
            "peer", "name", "eth0", "netns", self.client,
        )  # fmt: skip
        for name, address in ((namespace, self.address), (self.client, self._client_address)):
            run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
            run("ip", "-n", name, "link", "set", "eth0", "up")
        run("ip", "-n", self.client, "route", "add", "default", "via", self.address)

    def unplug(self) -> None:
        """Removes the link; the client stays."""
        run("ip", "-n", self.client, "link", "del", "eth0", check=False)

    def erase(self) -> None:
        """Removes the client."""
        run("ip", "netns", "del", self.client, check=False)


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


class Switch:
    """A bridge in a namespace of its own, which is also where clients are. Frames that a cut concerns are dropped
    without a word, as by a broken cable: connections stay open and hear nothing.
    """

    def __init__(self, namespace: str, network: str) -> None:
        self.namespace = namespace
        self._network = ipaddress.IPv4Network(network)

    def make(self) -> None:
        """Makes the namespace with the bridge, and the table that cuts are entered in."""
        run("ip", "netns", "add", self.namespace)
        run("ip", "-n", self.namespace, "link", "set", "lo", "up")
        run("ip", "-n", self.namespace, "link", "add", "br0", "type", "bridge")
        address = f"{self._network[-2]}/{self._network.prefixlen}"
        run("ip", "-n", self.namespace, "addr", "add", address, "dev", "br0")
        run("ip", "-n", self.namespace, "link", "set", "br0", "up")
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

    def heal(self) -> None:
        """Undoes every cut."""
        self._nft("".join(f"flush set bridge cuts {name}\n" for name in ("mute", "deaf", "apart")))

    def _nft(self, commands: str) -> None:
        run(*inside(self.namespace), "nft", "-f", "-", input=commands)


class Port:
    """A host's place on a switch."""

    def __init__(self, switch: Switch, name: str, address: str, prefix_length: int) -> None:
        self.client, self.address = switch.namespace, address
        self._name, self._prefix_length = name, prefix_length

    def plug(self, namespace: str) -> None:
        """Links a new namespace with the bridge."""
        run(
            "ip", "-n", namespace, "link", "add", "eth0", "type", "veth",
            "peer", "name", self._name, "netns", self.client,
        )  # fmt: skip
        for words in (
            ("addr", "add", f"{self.address}/{self._prefix_length}", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
        ):
            run("ip", "-n", namespace, *words)
        run("ip", "-n", self.client, "link", "set", self._name, "master", "br0", "up")

    def unplug(self) -> None:
        """Removes the link."""
        run("ip", "-n", self.client, "link", "del", self._name, check=False)

    def erase(self) -> None:
        """Nothing: a port goes with its host's namespace."""


def namespaces(prefix: str) -> Sequence[str]:
    """Network namespaces by that name or with it in front."""
    root = Path("/run/netns")
    return sorted(path.name for path in root.glob(f"{prefix}*")) if root.is_dir() else ()
