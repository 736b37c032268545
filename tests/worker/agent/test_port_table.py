import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from common.errors import ConflictError, SystemFailureError
from common.model.endpoint import PortConfig
from common.model.task import TaskState
from tests.support.fake_clock import FakeClock, settle
from tests.support.fake_ports import FakePorts
from worker.agent.port_table import RETRY_SECONDS, PortTable
from worker.agent.published import LiveTask

WEB = PortConfig(target_port=80, published_port=8080)


def live(address: str) -> LiveTask:
    return LiveTask(ports=(WEB,), state=TaskState.RUNNING, is_wanted=True, address=address)


class World:
    def __init__(self) -> None:
        self.clock, self.ports = FakeClock(), FakePorts()
        self.table = PortTable(self.ports, self.clock)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(self.table.run())
            await settle()
            yield
            running.cancel()


@pytest.fixture
def world() -> World:
    return World()


async def test_the_first_sync_clears_what_an_earlier_agent_left(world: World) -> None:
    async with world.running():
        assert world.ports.calls == ["publish"]


async def test_what_changes_together_is_synced_together(world: World) -> None:
    async with world.running():
        for number in range(1, 4):
            world.table.show(f"t{number}", live(f"10.0.0.{number}"))
        await world.table.settle()
        assert world.ports.calls[1:] == ["publish 8080->10.0.0.1,10.0.0.2,10.0.0.3"]


async def test_nothing_new_is_not_synced(world: World) -> None:
    async with world.running():
        world.table.show("t1", live("10.0.0.1"))
        await world.table.settle()
        world.table.show("t1", live("10.0.0.1"))
        await world.table.settle()
        assert len(world.ports.calls) == 2


async def test_settling_waits_for_a_sync_that_began_after_the_change(world: World) -> None:
    async with world.running():
        world.table.show("t1", live("10.0.0.1"))
        await world.table.settle()
        world.table.show("t1", None)
        await world.table.settle()
        assert world.ports.table == ()


async def test_a_failure_does_not_hold_up_and_is_tried_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with world.running():
        world.ports.errors = [SystemFailureError("the kernel said no")]
        world.table.show("t1", live("10.0.0.1"))
        await world.table.settle()
        assert world.ports.table == ()
        assert "could not be brought up to date" in caplog.text
        await world.clock.advance(RETRY_SECONDS)
        assert len(world.ports.table) == 1


async def test_a_port_that_is_taken_is_tried_until_it_is_free(world: World) -> None:
    world.ports.taken.add(8080)
    async with world.running():
        world.table.show("t1", live("10.0.0.1"))
        await world.table.settle()
        before = len(world.ports.calls)
        await world.clock.advance(RETRY_SECONDS)
        assert len(world.ports.calls) == before + 1
        world.ports.taken.clear()
        await world.clock.advance(RETRY_SECONDS)
        await world.clock.advance(10 * RETRY_SECONDS)
        assert len(world.ports.calls) == before + 2


async def test_a_reservation_that_fails_says_why(world: World) -> None:
    world.ports.taken.add(8080)
    with pytest.raises(ConflictError, match="port 8080/tcp is already in use on this host"):
        await world.table.reserve([WEB])
