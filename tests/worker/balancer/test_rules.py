from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.endpoint import Protocol
from worker.balancer.rules import Key, Table, base_rules, difference
from worker.balancer.table import Backend, PublishedPort

TCP, UDP = Protocol.TCP, Protocol.UDP


def port(number: int, *backends: int, protocol: Protocol = TCP) -> dict[Key, PublishedPort]:
    return {
        (protocol, number): PublishedPort(
            protocol=protocol,
            port=number,
            backends=tuple(Backend(address=f"10.0.0.{last}", port=80) for last in backends),
        )
    }


def rule(number: int, *backends: int) -> str:
    slots = ", ".join(f"{slot} : 10.0.0.{last} . 80" for slot, last in enumerate(backends))
    return (
        f"add rule t port-tcp-{number} meta l4proto tcp "
        f"dnat ip to numgen inc mod {len(backends)} map {{ {slots} }}"
    )


OPEN = [
    "add chain t port-tcp-80",
    rule(80, 2, 3),
    "add element t ports { tcp . 80 : goto port-tcp-80 }",
]
SHUT = [
    "delete element t ports { tcp . 80 }",
    "flush chain t port-tcp-80",
    "delete chain t port-tcp-80",
]

CASES: Mapping[str, tuple[Table, Table, list[str]]] = {
    "nothing changes": (port(80, 2), port(80, 2), []),
    "a port opens": ({}, port(80, 2, 3), OPEN),
    "a backend leaves": (port(80, 2, 3), port(80, 3), ["flush chain t port-tcp-80", rule(80, 3)]),
    "a backend comes": (port(80, 2), port(80, 2, 4), ["flush chain t port-tcp-80", rule(80, 2, 4)]),
    "the last backend leaves": (
        port(80, 2),
        port(80),
        [*SHUT, "add element t refused { tcp . 80 }"],
    ),
    "the first backend comes": (
        port(80),
        port(80, 2, 3),
        ["delete element t refused { tcp . 80 }", *OPEN],
    ),
    "a port closes": (port(80, 2), {}, SHUT),
    "a refused port closes": (port(80), {}, ["delete element t refused { tcp . 80 }"]),
    "other ports are not touched": (port(80, 2) | port(81, 2), port(81, 2), SHUT),
    "protocols have ports of their own": (
        port(80, 2),
        port(80, 2) | port(80, protocol=UDP),
        ["add element t refused { udp . 80 }"],
    ),
}


@pytest.mark.parametrize(("present", "wanted", "expected"), CASES.values(), ids=CASES)
def test_the_way_from_what_is_to_what_is_wanted(
    present: Table, wanted: Table, expected: list[str]
) -> None:
    assert difference("t", present, wanted).splitlines() == expected


tables: st.SearchStrategy[Table] = st.dictionaries(
    st.tuples(st.sampled_from([TCP, UDP]), st.integers(1, 4)),
    st.lists(st.integers(2, 5), unique=True),
    max_size=4,
).map(
    lambda wanted: {
        key: value
        for (protocol, number), backends in wanted.items()
        for key, value in port(number, *sorted(backends), protocol=protocol).items()
    }
)


class Kernel:
    """nftables as far as these commands go; it refuses what the kernel refuses."""

    def __init__(self) -> None:
        self.chains: dict[str, list[str]] = {}
        self.elements: dict[str, dict[str, str]] = {"ports": {}, "refused": {}}

    def run(self, commands: str) -> None:
        for command in commands.splitlines():
            verb, kind, _, name, *rest = command.split(maxsplit=4)
            getattr(self, f"{verb}_{kind}")(name, *rest)

    def add_chain(self, name: str) -> None:
        assert name not in self.chains
        self.chains[name] = []

    def flush_chain(self, name: str) -> None:
        self.chains[name].clear()

    def delete_chain(self, name: str) -> None:
        assert not self.chains.pop(name)
        assert not any(value.endswith(f" {name}") for value in self.elements["ports"].values())

    def add_rule(self, chain: str, rule: str) -> None:
        self.chains[chain].append(rule)

    def add_element(self, name: str, element: str) -> None:
        key, _, value = element.strip("{} ").partition(" : ")
        assert key not in self.elements[name]
        self.elements[name][key] = value

    def delete_element(self, name: str, element: str) -> None:
        del self.elements[name][element.strip("{} ")]


@given(tables, tables)
def test_going_by_steps_ends_where_going_at_once_ends(present: Table, wanted: Table) -> None:
    by_steps, at_once = Kernel(), Kernel()
    by_steps.run(difference("t", {}, present))
    by_steps.run(difference("t", present, wanted))
    at_once.run(difference("t", {}, wanted))
    assert vars(by_steps) == vars(at_once)


@given(tables)
def test_deciding_again_changes_nothing(table: Table) -> None:
    assert difference("t", table, table) == ""


def test_the_frame_takes_stale_chains_away_after_what_leads_to_them() -> None:
    commands = base_rules("t", ["port-tcp-80"]).splitlines()
    assert commands.index("flush map t ports") < commands.index("delete chain t port-tcp-80")
