"""What becomes of proposals when leaders come and go."""

import asyncio
import random
from collections.abc import Sequence

import pytest

from common.errors import (
    NoLeaderError,
    NotLeaderError,
    OutcomeUnknownError,
    SwarmdError,
    UnavailableError,
)
from common.model.node import Node
from manager.raft.log import Applied
from manager.store.changes import Create
from manager.store.replica import ReignOverError, Replica
from manager.store.store import PROPOSE_AGAIN_SECONDS_MAX, Store
from tests.support.fake_clock import FakeClock

NODE = Create(object=Node(id="n"))
UNKNOWN = OutcomeUnknownError("the leader was lost")
NOBODY = NoLeaderError()
STOPPED = NotLeaderError("this manager is not running")
BUSY = UnavailableError("too much is under way")


class ScriptedLog:
    """Meets each proposal as its script says; ``applied`` and then an error: the answer was lost."""

    def __init__(self, replica: Replica, script: Sequence[tuple[bool, SwarmdError | None]]) -> None:
        self._replica, self._script = replica, [*script]
        self.requests: list[bytes] = []
        self.index = 0

    async def propose(self, entry: bytes, request_id: bytes) -> Applied:
        self.requests.append(request_id)
        is_applied, error = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        answer = b""
        if is_applied:
            self.index += 1
            answer = self._replica.apply(self.index, request_id, entry)
        if error is not None:
            raise error
        return Applied(self.index, answer)

    async def up_to_date(self) -> None:
        _, error = self._script[0]
        if error is not None:
            raise error


STORIES: dict[str, tuple[list[tuple[bool, SwarmdError | None]], SwarmdError | None, bool]] = {
    "it is applied": ([(True, None)], None, True),
    "nobody leads: nothing was proposed": ([(False, NOBODY)], NOBODY, False),
    "too much is under way: nothing was proposed": ([(False, BUSY)], BUSY, False),
    "the answer was lost, and it was applied": ([(True, UNKNOWN), (True, None)], None, True),
    "the answer was lost, and it was not applied": ([(False, UNKNOWN), (True, None)], None, True),
    "the answer was lost twice, with nobody leading in between": (
        [(False, UNKNOWN), (False, NOBODY), (True, UNKNOWN), (False, NOBODY), (True, None)],
        None,
        True,
    ),
    "nobody ever leads again: what became of it stays unknown": (
        [(False, UNKNOWN), (False, NOBODY)],
        UNKNOWN,
        False,
    ),
    "too much was committed since: what became of it stays unknown": (
        [(True, UNKNOWN), (False, BUSY), (True, None)],
        UNKNOWN,
        True,
    ),
    "this manager stops: what became of it stays unknown": (
        [(True, UNKNOWN), (False, STOPPED)],
        UNKNOWN,
        True,
    ),
}


@pytest.mark.parametrize(("script", "error", "is_there"), STORIES.values(), ids=STORIES)
async def test_a_proposal_is_answered(
    script: list[tuple[bool, SwarmdError | None]], error: SwarmdError | None, is_there: bool
) -> None:
    replica, clock = Replica(), FakeClock()
    log = ScriptedLog(replica, script)
    store = Store(replica, log, clock, random.Random(1))
    async with asyncio.TaskGroup() as group:
        proposing = group.create_task(_outcome(store))
        await clock.advance(PROPOSE_AGAIN_SECONDS_MAX + 1)
        assert proposing.done()
    assert proposing.result() is error
    assert ("n" in store.state.nodes) is is_there
    assert len(set(log.requests)) == 1


async def _outcome(store: Store) -> SwarmdError | None:
    try:
        await store.propose([NODE])
    except SwarmdError as error:
        return error
    return None


async def test_what_a_former_leader_decided_is_refused() -> None:
    """Also when it comes by another leader, and though it names no version."""
    replica, clock, chance = Replica(), FakeClock(), random.Random(1)
    log = ScriptedLog(replica, [(True, None)])
    store = Store(replica, log, clock, chance)
    former = await store.begin_reign()
    await former.propose([Create(object=Node(id="a"))])
    latter = await store.begin_reign()
    with pytest.raises(ReignOverError, match="another manager leads"):
        await former.propose([Create(object=Node(id="b"))])
    await latter.propose([Create(object=Node(id="c"))])
    await store.propose([Create(object=Node(id="d"))])
    assert [*store.state.nodes] == ["a", "c", "d"]
    assert store.state.reign == 3


async def test_a_reign_goes_on_behind_a_snapshot() -> None:
    replica, clock, chance = Replica(), FakeClock(), random.Random(1)
    store = Store(replica, ScriptedLog(replica, [(True, None)]), clock, chance)
    ruling = await store.begin_reign()
    replica.restore([*store.snapshot()])()
    await ruling.propose([NODE])
    assert store.state.reign == 1


async def test_nobody_knows_whether_the_state_is_up_to_date_without_a_leader() -> None:
    replica = Replica()
    store = Store(replica, ScriptedLog(replica, [(False, NOBODY)]), FakeClock(), random.Random(1))
    with pytest.raises(NoLeaderError):
        await store.up_to_date()


async def test_a_reign_is_begun_once_or_not_at_all() -> None:
    """A leader that was replaced while it began must not begin again by way of the next one."""
    replica, clock = Replica(), FakeClock()
    log = ScriptedLog(replica, [(False, UNKNOWN), (True, None)])
    store = Store(replica, log, clock, random.Random(1))
    with pytest.raises(OutcomeUnknownError):
        await store.begin_reign()
    assert store.state.reign == 0
