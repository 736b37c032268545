import asyncio
import gc
import random

import pytest

from tests.simulation.raft.virtual_time import (
    START_SECONDS,
    Process,
    SimulatedWorker,
    SimulationError,
    VirtualLoop,
)


def loop_of(seed: int = 1) -> VirtualLoop:
    return VirtualLoop(random.Random(seed))


async def count_seconds(told: list[str], loop: VirtualLoop, seconds: int = 5) -> None:
    try:
        for number in range(1, seconds + 1):
            await asyncio.sleep(1)
            told.append(f"{number} at {loop.time() - START_SECONDS:.1f}")
    finally:
        told.append("cleaned up")


def counting(told: list[str]) -> tuple[VirtualLoop, Process]:
    loop = loop_of()
    process = loop.process("one")
    process.spawn(count_seconds(told, loop))
    return loop, process


def test_the_clock_jumps_to_the_next_timer() -> None:
    told: list[str] = []
    loop, _ = counting(told)
    loop.run(START_SECONDS + 2.5)
    assert told == ["1 at 1.0", "2 at 2.0"]
    assert loop.time() == START_SECONDS + 2.5


def test_a_killed_process_runs_nothing_any_more_not_even_its_finally() -> None:
    told: list[str] = []
    loop, process = counting(told)
    loop.at(START_SECONDS + 1.5, process.kill)
    loop.run(START_SECONDS + 20)
    gc.collect()
    assert told == ["1 at 1.0"]
    loop.bury()


def test_a_stopped_process_goes_on_with_late_timers() -> None:
    told: list[str] = []
    loop, process = counting(told)
    loop.at(START_SECONDS + 1.5, process.stop_for, 3.0)
    loop.run(START_SECONDS + 7)
    assert told == ["1 at 1.0", "2 at 4.5", "3 at 5.5", "4 at 6.5"]
    loop.bury()


def test_an_exception_that_nobody_handles_fails_the_run() -> None:
    loop = loop_of()

    def broken() -> None:
        raise ValueError("broken")

    loop.process("one").run(loop.call_later, 1.0, broken)
    with pytest.raises(SimulationError, match="broken"):
        loop.run(START_SECONDS + 2)


def test_an_endless_loop_fails_the_run() -> None:
    loop = loop_of()

    def again() -> None:
        loop.call_soon(again)

    loop.process("one").run(loop.call_soon, again)
    with pytest.raises(SimulationError, match="callbacks in one second"):
        loop.run(START_SECONDS + 10)


def test_a_thread_takes_time_and_the_loop_goes_on() -> None:
    loop = loop_of()
    loop.thread_seconds = lambda: 0.5
    told: list[str] = []

    async def work() -> None:
        result = await asyncio.to_thread(lambda: f"written at {loop.time() - START_SECONDS:.1f}")
        told.append(f"{result}, noticed at {loop.time() - START_SECONDS:.1f}")

    process = loop.process("one")
    process.spawn(count_seconds(told, loop, 1))
    process.spawn(work())
    loop.run(START_SECONDS + 3)
    assert sorted(told) == ["1 at 1.0", "cleaned up", "written at 0.5, noticed at 1.0"]


def test_a_worker_does_one_thing_after_another() -> None:
    loop = loop_of()
    worker = SimulatedWorker(loop)
    order: list[int] = []

    async def work() -> None:
        futures = [
            asyncio.wrap_future(worker.submit(lambda number=number: order.append(number)))  # type: ignore[misc]
            for number in range(10)
        ]
        await asyncio.gather(*futures)

    task = loop.process("one").spawn(work())
    loop.run(START_SECONDS + 10)
    assert task.done()
    assert order == list(range(10))


def test_a_timeout_cancels_in_virtual_time() -> None:
    loop = loop_of()
    told: list[str] = []

    async def work() -> None:
        try:
            async with asyncio.timeout(2), asyncio.TaskGroup() as group:
                group.create_task(count_seconds(told, loop))
        except TimeoutError:
            told.append("too late")

    loop.process("one").spawn(work())
    loop.run(START_SECONDS + 10)
    assert told == ["1 at 1.0", "cleaned up", "too late"]
