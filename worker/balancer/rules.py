"""The nftables text that makes published ports: values only.

A published port with backends is a chain of its own, found through one map by protocol and port; its one rule gives
each new connection to the next slot of a map with one slot per backend, so shares are even. One without backends is in
a set whose connections are refused. A change is one transaction that touches only the chains of changed ports.
"""

from collections.abc import Iterable, Mapping

from common.model.endpoint import Protocol
from worker.balancer.table import PublishedPort

PREROUTING = "published-in"
OUTPUT = "published-out"
INPUT = "published-refused"
PORTS = "ports"
REFUSED = "refused"
CHAIN_PREFIX = "port-"

Key = tuple[Protocol, int]
Table = Mapping[Key, PublishedPort]


def base_rules(table: str, stale_chains: Iterable[str]) -> str:
    """Commands that make the frame anew and empty, whatever an earlier swarmd left of chains of ports."""
    spread = (
        "meta nfproto ipv4 ip daddr != 127.0.0.0/8 fib daddr type local meta l4proto . th dport"
    )
    refused = f"ct state new meta l4proto . th dport @{REFUSED}"
    return "\n".join(
        [
            f"add table {table}",
            f"add map {table} {PORTS} {{ type inet_proto . inet_service : verdict; }}",
            f"add set {table} {REFUSED} {{ type inet_proto . inet_service; }}",
            f"flush map {table} {PORTS}",
            f"flush set {table} {REFUSED}",
            *(f"flush chain {table} {name}\ndelete chain {table} {name}" for name in stale_chains),
            # From elsewhere, and from containers.
            f"add chain {table} {PREROUTING} {{ type nat hook prerouting priority -100; }}",
            f"flush chain {table} {PREROUTING}",
            f"add rule {table} {PREROUTING} {spread} vmap @{PORTS}",
            # From processes of the host to one of its own addresses.
            f"add chain {table} {OUTPUT} {{ type nat hook output priority -100; }}",
            f"flush chain {table} {OUTPUT}",
            f"add rule {table} {OUTPUT} {spread} vmap @{PORTS}",
            f"add chain {table} {INPUT} {{ type filter hook input priority 0; }}",
            f"flush chain {table} {INPUT}",
            f"add rule {table} {INPUT} meta l4proto tcp {refused} reject with tcp reset",
            f"add rule {table} {INPUT} {refused} reject",
            "",
        ]
    )


def difference(table: str, present: Table, wanted: Table) -> str:
    """Commands that lead from what the kernel has to what is wanted; none when it has it already."""
    commands: list[str] = []
    for key in sorted(present.keys() | wanted.keys()):
        commands += _change(table, key, present.get(key), wanted.get(key))
    return "".join(f"{command}\n" for command in commands)


def contents(table: Table) -> Mapping[str, int]:
    """How many rules or elements there are of each chain and map when the kernel has all of this."""
    spread = [key for key, port in table.items() if port.backends]
    frame = {
        PREROUTING: 1,
        OUTPUT: 1,
        INPUT: 2,
        PORTS: len(spread),
        REFUSED: len(table) - len(spread),
    }
    return {**frame, **{chain_name(key): 1 for key in spread}}


def chain_name(key: Key) -> str:
    """The chain of a port that has backends."""
    return f"{CHAIN_PREFIX}{key[0].value}-{key[1]}"


def _change(
    table: str, key: Key, old: PublishedPort | None, new: PublishedPort | None
) -> list[str]:
    if old == new:
        return []
    if old is not None and new is not None and old.backends and new.backends:
        return [f"flush chain {table} {chain_name(key)}", _spread(table, key, new)]
    return [*_without(table, key, old), *_with(table, key, new)]


def _without(table: str, key: Key, old: PublishedPort | None) -> list[str]:
    if old is None:
        return []
    if not old.backends:
        return [f"delete element {table} {REFUSED} {{ {_element(key)} }}"]
    name = chain_name(key)
    return [
        f"delete element {table} {PORTS} {{ {_element(key)} }}",
        f"flush chain {table} {name}",
        f"delete chain {table} {name}",
    ]


def _with(table: str, key: Key, new: PublishedPort | None) -> list[str]:
    if new is None:
        return []
    if not new.backends:
        return [f"add element {table} {REFUSED} {{ {_element(key)} }}"]
    name = chain_name(key)
    return [
        f"add chain {table} {name}",
        _spread(table, key, new),
        f"add element {table} {PORTS} {{ {_element(key)} : goto {name} }}",
    ]


def _spread(table: str, key: Key, port: PublishedPort) -> str:
    slots = ", ".join(
        f"{slot} : {backend.address} . {backend.port}" for slot, backend in enumerate(port.backends)
    )
    return (
        f"add rule {table} {chain_name(key)} meta l4proto {key[0].value} "
        f"dnat ip to numgen inc mod {len(port.backends)} map {{ {slots} }}"
    )


def _element(key: Key) -> str:
    return f"{key[0].value} . {key[1]}"
