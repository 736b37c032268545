import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from common.model.service import Service
from manager.control.loop import BACKOFF_SECONDS_MAX, run_loop
from manager.store.changes import Change, Create, Update
from manager.store.state import State
from manager.store.store import MAX_CHANGES_PER_ENTRY, Store, memory_store
from manager.store.verdict import NewId, Verdict
from manager.store.watch import WATCH_BACKLOG_MAX, Changed
from tests.support.builders import node, numbered_ids, service
from tests.support.fake_clock import FakeClock


@dataclass
class Probe:
    """A loop over services that does what a test puts into it."""

    verdicts: dict[str, list[Verdict | Exception]] = field(default_factory=dict)
    looks: list[tuple[str, float]] = field(default_factory=list)
    name: str = "probe"
    settle_seconds: float = 0.0

    def keys(self, state: State) -> Iterable[str]:
        return list(state.services)

    def touched(self, state: State, changed: Changed) -> Iterable[str]:
        return (changed.new.id,) if isinstance(changed.new, Service) else ()

    def consider(self, state: State, key: str, now: float, new_id: NewId) -> Verdict:
        self.looks.append((key, now))
        planned = self.verdicts.get(key)
        verdict = planned.pop(0) if planned else Verdict()
        if isinstance(verdict, Exception):
            raise verdict
        return verdict


@asynccontextmanager
async def running(probe: Probe) -> AsyncIterator[tuple[Store, FakeClock]]:
    clock = FakeClock()
    store = memory_store(clock, random.Random(1))
    async with asyncio.TaskGroup() as group:
        loop = group.create_task(run_loop(probe, store, clock, numbered_ids()))
        await clock.advance(0)
        yield store, clock
        loop.cancel()


def create(name: str = "web") -> Create:
    return Create(object=service(name=name))


async def test_what_a_change_touches_is_looked_at_once_however_often_it_changed() -> None:
    probe = Probe()
    async with running(probe) as (store, clock):
        await store.propose([create("a"), create("b")])
        await clock.advance(1)
        assert [key for key, _ in probe.looks] == ["a", "b"]


async def test_at_the_start_every_key_is_looked_at() -> None:
    probe = Probe()
    clock = FakeClock()
    store = memory_store(clock, random.Random(1))
    await store.propose([create("a"), create("b")])
    async with asyncio.TaskGroup() as group:
        loop = group.create_task(run_loop(probe, store, clock, numbered_ids()))
        await clock.advance(0)
        loop.cancel()
    assert [key for key, _ in probe.looks] == ["a", "b"]


async def test_it_looks_again_when_the_decision_says_so() -> None:
    probe = Probe({"web": [Verdict(look_again_at=1_025.0)]})
    async with running(probe) as (store, clock):
        await store.propose([create()])
        await clock.advance(60)
        assert [now for _, now in probe.looks] == [1_000.0, 1_025.0]


async def test_a_later_decision_takes_an_earlier_reminder_back() -> None:
    probe = Probe({"web": [Verdict(look_again_at=1_025.0), Verdict()]})
    async with running(probe) as (store, clock):
        await store.propose([create()])
        await clock.advance(1)
        await store.propose([Update(object=replace(service(), version=0))])
        await clock.advance(60)
        assert len(probe.looks) == 2


async def test_changes_are_proposed() -> None:
    probe = Probe({"web": [Verdict(changes=(Create(object=node("made")),))]})
    async with running(probe) as (store, clock):
        await store.propose([create()])
        await clock.advance(0)
        assert "made" in store.state.nodes


async def test_a_verdict_larger_than_an_entry_is_split() -> None:
    many = tuple(Create(object=node(f"n{n}")) for n in range(3 * MAX_CHANGES_PER_ENTRY + 1))
    probe = Probe({"web": [Verdict(changes=many)]})
    async with running(probe) as (store, clock):
        await store.propose([create()])
        await clock.advance(0)
        assert len(store.state.nodes) == len(many)


async def test_a_stale_proposal_is_decided_again_and_holds_up_no_other() -> None:
    stale: Change = Update(object=replace(service(name="a"), version=999))
    good: Change = Create(object=node("made"))
    probe = Probe({"a": [Verdict(changes=(stale,))], "b": [Verdict(changes=(good,))] * 2})
    async with running(probe) as (store, clock):
        await store.propose([create("a"), create("b")])
        await clock.advance(0)
        assert "made" in store.state.nodes
        assert [key for key, _ in probe.looks] == ["a", "b", "a", "b"]


async def test_a_refused_proposal_is_tried_again_after_a_growing_pause() -> None:
    taken: Change = Create(object=node("taken"))
    probe = Probe({"web": [Verdict(changes=(taken,))] * 100})
    async with running(probe) as (store, clock):
        await store.propose([Create(object=node("taken")), create()])
        await clock.advance(60)
        moments = [now for _, now in probe.looks]
        pauses = [later - earlier for earlier, later in itertools.pairwise(moments)]
        assert pauses == sorted(pauses)
        assert max(pauses) == pytest.approx(BACKOFF_SECONDS_MAX)


async def test_a_decision_that_fails_holds_up_no_other_and_is_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    probe = Probe({"a": [ValueError("no"), Verdict()]})
    async with running(probe) as (store, clock):
        await store.propose([create("a"), create("b")])
        await clock.advance(1)
        assert [key for key, _ in probe.looks] == ["a", "b", "a"]
    assert "probe cannot decide about a" in caplog.text


async def test_a_decision_that_never_rests_does_not_eat_the_processor() -> None:
    probe = Probe({"web": [Verdict(look_again_at=0.0)] * 10_000})
    async with running(probe) as (store, clock):
        await store.propose([create()])
        await clock.advance(1)
        assert len(probe.looks) <= 102


async def test_after_it_missed_changes_it_looks_at_everything(
    caplog: pytest.LogCaptureFixture,
) -> None:
    probe = Probe()
    async with running(probe) as (store, clock):
        await store.propose([create("a"), create("b")])
        await clock.advance(0)
        probe.looks.clear()
        for watch in store._replica.watchers._watches:
            watch._backlog = WATCH_BACKLOG_MAX
        await store.propose([Create(object=node("n1"))])
        await clock.advance(0)
        assert [key for key, _ in probe.looks] == ["a", "b"]
    assert "looks at everything again" in caplog.text


async def test_changes_gather_for_a_loop_that_may_wait() -> None:
    probe = Probe(settle_seconds=2.0)
    async with running(probe) as (store, clock):
        for name in ("a", "b"):
            await store.propose([create(name)])
            await clock.advance(0.5)
        assert probe.looks == []
        await clock.advance(2)
        assert probe.looks == [("a", 1_002.0), ("b", 1_002.0)]


async def test_what_was_decided_in_a_reign_that_is_over_comes_to_nothing() -> None:
    """The changes of this loop name no version: only the reign tells that another leader may have made the same."""
    decided = [Verdict(changes=(create(name),)) for name in ("made", "late")]
    clock, chance = FakeClock(), random.Random(1)
    store = memory_store(clock, chance)
    await store.propose([create("web")])
    probe = Probe({"web": [*decided, Verdict(), Verdict()]})
    async with asyncio.TaskGroup() as group:
        loop = group.create_task(run_loop(probe, await store.begin_reign(), clock, numbered_ids()))
        await clock.advance(0)
        await store.begin_reign()
        web = store.state.services["web"]
        await store.propose([Update(object=replace(web, endpoint=web.endpoint))])
        await clock.advance(1)
        loop.cancel()
    assert [*store.state.services] == ["web", "made"]
    assert (
        len(probe.looks) > 3
    )  # it looks again, later and later, until its manager hears that it does not lead
