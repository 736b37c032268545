import random
from dataclasses import dataclass, field

import pytest

from manager.raft.messages import AskReadIndex, Message, Removed
from tests.simulation.raft.network import Network, SimulatedLinks
from tests.simulation.raft.virtual_time import START_SECONDS, Process, VirtualLoop


@dataclass
class Three:
    """Three hosts that dial one another."""

    seed: int = 1
    got: dict[str, list[tuple[str, Message]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.loop = VirtualLoop(random.Random(self.seed))
        self.network = Network(self.loop, random.Random(self.seed), lambda *_: None)
        self.processes: dict[str, Process] = {}
        self.links: dict[str, SimulatedLinks] = {}
        for name in "abc":
            self.start(name)
        self.run(2)

    def start(self, name: str, member_id: str = "") -> None:
        process = self.processes[name] = self.loop.process(name)
        links = self.links[name] = SimulatedLinks(
            self.network, process, host=name, address=f"{name}:1", member_id=member_id or name
        )
        got: list[tuple[str, Message]] = []
        self.got[name] = got
        links.set_peers({other: f"{other}:1" for other in "abc"})
        process.run(
            links.start, lambda peer, message: got.append((peer, message)), lambda _peer: None
        )

    def run(self, seconds: float) -> None:
        self.loop.run(self.loop.time() + seconds)

    def say(self, source: str, target: str, *numbers: int) -> list[bool]:
        send = self.links[source].send
        return [
            self.processes[source].run(send, target, AskReadIndex(number=number))
            for number in numbers
        ]

    def heard(self, name: str) -> list[int]:
        return [
            message.number for _, message in self.got[name] if isinstance(message, AskReadIndex)
        ]


def test_messages_arrive_in_order() -> None:
    three = Three()
    assert all(three.say("a", "b", *range(50)))
    three.run(1)
    assert three.heard("b") == list(range(50))
    assert three.loop.time() == pytest.approx(START_SECONDS + 3)


def test_a_cut_holds_back_and_a_heal_lets_go_on() -> None:
    three = Three()
    three.network.cut("a", "b")
    three.say("a", "b", 1, 2)
    three.say("b", "a", 3)
    three.run(0.4)
    assert (three.heard("a"), three.heard("b")) == ([3], [])
    three.network.heal()
    three.run(0.4)
    assert three.heard("b") == [1, 2]


def test_a_long_cut_breaks_the_link_and_loses_what_was_under_way() -> None:
    three = Three()
    three.network.cut("a", "b")
    three.say("a", "b", 1)
    three.run(12)
    assert not three.links["a"].is_connected("b")
    assert three.say("a", "b", 2) == [False]
    three.network.heal()
    three.run(3)
    assert three.links["a"].is_connected("b")
    assert three.heard("b") == []


def test_a_killed_process_is_missed_soon_and_found_again() -> None:
    three = Three()
    three.processes["b"].kill()
    three.network.vanish(three.processes["b"], says_so=True)
    three.run(0.3)
    assert not three.links["a"].is_connected("b")
    three.start("b")
    three.run(2)
    assert three.links["a"].is_connected("b")
    three.say("a", "b", 7)
    three.run(1)
    assert three.heard("b") == [7]


def test_a_host_without_power_is_missed_late() -> None:
    three = Three()
    three.processes["b"].kill()
    three.network.vanish(three.processes["b"], says_so=False)
    three.run(0.3)
    assert three.links["a"].is_connected("b")
    three.run(6)
    assert not three.links["a"].is_connected("b")


def test_a_stopped_process_hears_later() -> None:
    three = Three()
    three.processes["b"].stop_for(3)
    three.say("a", "b", 1, 2, 3)
    three.run(2.5)
    assert three.heard("b") == []
    three.run(1)
    assert three.heard("b") == [1, 2, 3]


def test_another_member_at_the_address_is_not_the_one_dialled() -> None:
    three = Three()
    three.processes["b"].kill()
    three.network.vanish(three.processes["b"], says_so=True)
    three.start("b", member_id="somebody else")
    three.run(3)
    assert not three.links["a"].is_connected("b")


def test_a_removed_member_is_told() -> None:
    three = Three()
    three.links["a"].has_removed = lambda member_id: member_id == "b"
    three.network.break_streams(1.0)
    three.run(12)
    assert ("a", Removed(member_id="b")) in three.got["b"]


def test_ghosts_come_late_and_chaos_loses_and_doubles() -> None:
    three = Three()
    three.network.weather.chaos = 0.5
    three.say("a", "b", *range(100))
    three.run(10)
    heard = three.heard("b")
    assert len(set(heard)) < 100
    assert len(heard) > len(set(heard))
    assert heard != sorted(heard)
