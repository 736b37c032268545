import asyncio
import threading

import pytest

from manager.raft.elsewhere import Elsewhere
from manager.raft.worker import ThreadWorker

FAILURE = OSError(28, "No space left on device")


def fails() -> int:
    raise FAILURE


class Outcomes:
    """What was told, in order."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.elsewhere = Elsewhere(ThreadWorker("test"), lambda what, e: self.tell((what, e)))
        self._news = asyncio.Event()

    def tell(self, what: object) -> None:
        self.told.append(what)
        self._news.set()

    async def next(self) -> object:
        async with asyncio.timeout(10):
            await self._news.wait()
        self._news.clear()
        return self.told.pop(0)


async def test_what_was_done_comes_back_in_the_loop() -> None:
    outcomes = Outcomes()
    outcomes.elsewhere.do(
        "work", threading.get_ident, lambda there: outcomes.tell((there, threading.get_ident()))
    )
    told = await outcomes.next()
    assert isinstance(told, tuple)
    assert told[1] == threading.get_ident() != told[0]
    await outcomes.elsewhere.close()


async def test_a_failure_goes_to_whoever_expects_it_or_else_to_the_owner() -> None:
    outcomes = Outcomes()
    outcomes.elsewhere.do("work", fails, outcomes.tell, lambda e: outcomes.tell(("expected", e)))
    assert await outcomes.next() == ("expected", FAILURE)
    outcomes.elsewhere.do("work", fails, outcomes.tell)
    assert await outcomes.next() == ("work", FAILURE)
    await outcomes.elsewhere.close()


async def test_the_owner_also_learns_what_goes_wrong_with_an_outcome() -> None:
    outcomes = Outcomes()
    outcomes.elsewhere.do("work", lambda: 0, lambda zero: outcomes.tell(1 // zero))
    told = await outcomes.next()
    assert isinstance(told, tuple)
    assert (told[0], type(told[1])) == ("work", ZeroDivisionError)
    await outcomes.elsewhere.close()


async def test_nothing_comes_back_after_the_end_but_it_is_done() -> None:
    outcomes, done = Outcomes(), []
    outcomes.elsewhere.do("work", lambda: done.append(1), outcomes.tell)
    await outcomes.elsewhere.close(lambda: done.append(2))
    await asyncio.sleep(0)
    assert (done, outcomes.told) == ([1, 2], [])


async def test_a_result_is_waited_for() -> None:
    outcomes = Outcomes()
    assert await outcomes.elsewhere.result(lambda: 5) == 5
    with pytest.raises(OSError, match="No space left"):
        await outcomes.elsewhere.result(fails)
    await outcomes.elsewhere.close()
