"""The supervisor's list of containers that must not run for ever."""

import time

import pytest

from worker.runtime.eventloop import EventLoop
from worker.runtime.leases import LEASES_MAX, Leases

TERM = 15


class World:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ns = 0
        self.done: list[str] = []
        monkeypatch.setattr(time, "clock_gettime_ns", lambda _clock: self.now_ns)
        self.leases = Leases(
            EventLoop(),
            lambda name, number: self.done.append(f"{number} {name}"),
            lambda name: self.done.append(f"kill {name}"),
        )

    def at(self, now_ns: int) -> list[str]:
        self.done.clear()
        self.now_ns = now_ns
        self.leases.look()
        return list(self.done)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_a_signal_first_and_then_the_kill_each_once(world: World) -> None:
    world.leases.put("c1", TERM, 10, 20)
    assert [world.at(now) for now in (9, 10, 11, 20, 21)] == [[], ["15 c1"], [], ["kill c1"], []]


def test_what_is_said_again_puts_it_off(world: World) -> None:
    world.leases.put("c1", TERM, 10, 20)
    world.leases.put("c1", TERM, 30, 40)
    assert world.at(25) == []
    assert world.at(50) == ["kill c1"]


def test_a_container_that_has_ended_is_let_go(world: World) -> None:
    world.leases.put("c1", TERM, 10, 20)
    world.leases.forget("c1")
    assert world.at(50) == []


def test_there_is_a_bound(world: World) -> None:
    for number in range(LEASES_MAX):
        world.leases.put(f"c{number}", TERM, 10, 20)
    assert world.leases.has_room_for(["c1"])
    assert not world.leases.has_room_for(["c1", "another"])
