import asyncio

from common.bell import Bell
from tests.support.fake_clock import FakeClock, settle


async def test_waits_for_a_ring_or_until_it_is_time() -> None:
    clock = FakeClock()
    bell = Bell(clock)
    woken: list[float] = []

    async def look() -> None:
        while True:
            await bell.wait(10.0)
            woken.append(clock.now() - 1000.0)

    async with asyncio.TaskGroup() as group:
        looking = group.create_task(look())
        await clock.advance(9.0)
        assert woken == []
        await clock.advance(1.0)
        assert woken == [10.0]
        await clock.advance(3.0)
        bell.ring()
        await settle()
        assert woken == [10.0, 13.0]
        await clock.advance(9.0)
        assert woken == [10.0, 13.0]
        looking.cancel()


async def test_a_ring_that_nobody_waited_for_ends_the_next_wait_at_once() -> None:
    bell = Bell(FakeClock())
    bell.ring()
    await bell.wait(10.0)
    bell.ring()
    await bell.wait()
