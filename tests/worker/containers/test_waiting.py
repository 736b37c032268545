"""Who waits for the end of a container."""

import asyncio

import pytest

from common.errors import UnavailableError
from tests.support.fake_clock import settle
from tests.support.machine import Machine, plain, restarting
from worker.containers.engine import LocalEngine
from worker.containers.waiting import WAITS_MAX, Ended, WaitCondition

NOT_RUNNING, NEXT_EXIT, REMOVED = (
    WaitCondition.NOT_RUNNING,
    WaitCondition.NEXT_EXIT,
    WaitCondition.REMOVED,
)


async def test_one_that_does_not_run_is_not_waited_for(engine: LocalEngine) -> None:
    container = await engine.create(plain())

    assert await engine.wait(container.id, NOT_RUNNING) == Ended(exit_code=0)


async def test_the_next_exit_is_one_after_the_question(
    machine: Machine, engine: LocalEngine
) -> None:
    one = (await engine.create(plain())).id
    first = engine.wait(one, NEXT_EXIT)
    await engine.start(one)
    await machine.runtime.end(one, 3)
    assert await first == Ended(exit_code=3)

    second = asyncio.ensure_future(engine.wait(one, NEXT_EXIT))
    await settle()
    assert not second.done()
    await engine.start(one)
    await machine.runtime.end(one, 4)

    assert await second == Ended(exit_code=4)


async def test_an_end_is_one_also_when_a_restart_follows(
    machine: Machine, engine: LocalEngine
) -> None:
    one = (await engine.start((await engine.create(restarting("always"))).id)).id
    waiting = [engine.wait(one, condition) for condition in (NOT_RUNNING, NEXT_EXIT)]

    await machine.runtime.end(one, 5)

    assert [await item for item in waiting] == [Ended(exit_code=5)] * 2


async def test_a_removal_answers_all(machine: Machine, engine: LocalEngine) -> None:
    one = (await engine.start((await engine.create(plain())).id)).id
    removed, exited = engine.wait(one, REMOVED), engine.wait(one, NOT_RUNNING)

    await engine.remove(one)

    assert await removed == await exited == Ended(exit_code=137)


async def test_who_goes_away_makes_room(engine: LocalEngine) -> None:
    one = (await engine.create(plain())).id
    waiting = [asyncio.ensure_future(engine.wait(one, NEXT_EXIT)) for _ in range(WAITS_MAX)]
    with pytest.raises(UnavailableError):
        engine.wait(one, NEXT_EXIT)

    waiting[0].cancel()
    await settle(2)

    engine.wait(one, NEXT_EXIT)
