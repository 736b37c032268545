import asyncio

import pytest

from common.apart import apart


class Work:
    """A task group that fails, and takes a while to."""

    def __init__(self) -> None:
        self.fails = asyncio.Event()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ends_slowly())
            await asyncio.sleep(0)
            raise ValueError

    async def _ends_slowly(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.fails.set()
            await asyncio.sleep(0)


async def test_a_cancellation_while_the_work_fails_is_not_forgotten() -> None:
    work, went_on = Work(), False

    async def forgive() -> None:
        nonlocal went_on
        try:
            await apart(work.run())
        except* ValueError:
            went_on = True

    async with asyncio.TaskGroup() as group:
        task = group.create_task(forgive())
        await work.fails.wait()
        task.cancel()
    assert task.cancelled()
    assert not went_on


async def test_errors_and_results_are_the_callers() -> None:
    async def answer() -> int:
        return 42

    assert await apart(answer()) == 42
    with pytest.RaisesGroup(ValueError):
        await apart(Work().run())


async def test_the_work_ends_with_its_caller() -> None:
    ended = asyncio.Event()

    async def last() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(apart(last()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
    assert ended.is_set()
