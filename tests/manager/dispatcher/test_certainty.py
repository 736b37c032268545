"""Asking the other managers whether this one leads."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from common.errors import NoLeaderError
from manager.dispatcher.certainty import AGAIN_SECONDS, ROUND_SECONDS_MIN, Certainty
from tests.support.fake_clock import FakeClock, settle


class World:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.rounds = 0
        self.is_alone = False
        self.is_in_its_reign = True
        self.gate = asyncio.Event()
        self.gate.set()
        self.done: list[str] = []
        self.certainty = Certainty(self, self.clock)

    async def up_to_date(self) -> None:
        self.rounds += 1
        await self.gate.wait()
        if self.is_alone:
            raise NoLeaderError

    def ask(self, name: str) -> None:
        self.certainty.ask(lambda: self.done.append(name))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(self.certainty.run())
            await settle()
            yield
            running.cancel()


async def test_many_share_a_round_and_who_asks_meanwhile_has_the_next() -> None:
    world = World()
    async with world.running():
        world.gate.clear()
        world.ask("a")
        world.ask("b")
        await settle()
        world.ask("c")
        world.gate.set()
        await settle()
        assert (world.done, world.rounds) == (["a", "b"], 1)
        await world.clock.advance(ROUND_SECONDS_MIN)
        assert (world.done, world.rounds) == (["a", "b", "c"], 2)


async def test_without_the_others_nobody_is_answered_until_they_are_back() -> None:
    world = World()
    async with world.running():
        world.is_alone = True
        world.ask("a")
        await world.clock.advance(10 * AGAIN_SECONDS)
        assert world.done == []
        world.is_alone = False
        await world.clock.advance(AGAIN_SECONDS)
        assert world.done == ["a"]


async def test_when_another_has_begun_to_lead_nobody_is_answered() -> None:
    world = World()
    async with world.running():
        world.is_in_its_reign = False
        world.ask("a")
        await world.clock.advance(10)
        assert world.done == []
