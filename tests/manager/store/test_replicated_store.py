"""Stores of three managers over one replicated log, in one process."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from common.clock import SystemClock
from common.errors import (
    ConflictError,
    NoLeaderError,
    OutcomeUnknownError,
    StaleVersionError,
    UnavailableError,
)
from common.model.node import Node, NodeSpec
from manager.raft.peers import Peer
from manager.raft.replicated_log import ReplicatedLog
from manager.raft.settings import RaftSettings
from manager.raft.storage import Storage
from manager.raft.surroundings import Surroundings
from manager.store.changes import Create, Update
from manager.store.replica import ReignOverError, Replica
from manager.store.store import Store
from manager.store.watch import Watch, WatchLaggedError
from tests.support.fake_links import FakeNetwork
from tests.support.raft_cluster import QUICK, WAIT_SECONDS

NAMES = ("a", "b", "c")
COUNTER = "counter"


class StoreMember:
    """A manager's store; what is on its disk stays when it is stopped."""

    def __init__(self, cluster: "StoreCluster", name: str) -> None:
        self.cluster, self.name = cluster, name
        self.peer = Peer(member_id=name, node_id=f"node-{name}", address=f"{name}:2377")
        self.restore()

    def restore(self) -> None:
        """Everything anew that is not on its disk."""
        clock, chance = SystemClock(), random.Random(self.name + str(random.random()))
        self.replica = Replica()
        self.log = ReplicatedLog(
            Storage.at(self.cluster.directory / self.name),
            Surroundings(
                me=self.peer,
                machine=self.replica,
                links=self.cluster.network.of(self.name),
                clock=clock,
                chance=chance,
                settings=self.cluster.settings,
                fail_stop=lambda reason, _error: self.cluster.failures.append(reason),
            ),
        )
        self.store = Store(self.replica, self.log, clock, chance)

    async def restart(self) -> None:
        await self.log.stop()
        self.restore()
        await self.log.start()


class StoreCluster:
    def __init__(self, directory: Path, settings: RaftSettings) -> None:
        self.directory, self.settings = directory, settings
        self.network = FakeNetwork()
        self.members: dict[str, StoreMember] = {}
        self.failures: list[str] = []

    async def start(self) -> None:
        for name in NAMES:
            member = self.members[name] = StoreMember(self, name)
            await member.log.start(bootstrap=name == NAMES[0])
            if name == NAMES[0]:
                await member.log.until_leader()
            else:
                leader = await self.leader()
                await leader.log.add(member.peer)

    async def leader(self, *among: str) -> StoreMember:
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                for name in among or NAMES:
                    if name in self.members and self.members[name].log.is_leader:
                        return self.members[name]
                await asyncio.sleep(0.005)

    async def others(self, than: StoreMember) -> list[StoreMember]:
        return [member for member in self.members.values() if member is not than]

    async def same(self) -> None:
        """All have applied the same."""
        for member in self.members.values():
            await asyncio.wait_for(member.store.up_to_date(), WAIT_SECONDS)
        (one, *more) = [member.replica for member in self.members.values()]
        async with asyncio.timeout(WAIT_SECONDS):
            while any(other.state.index != one.state.index for other in more):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        for other in more:
            assert [*other.snapshot()] == [*one.snapshot()]


@pytest.fixture
async def three(tmp_path: Path) -> AsyncIterator[StoreCluster]:
    settings = replace(QUICK, snapshot_entries=40, kept_entries=5)
    cluster = StoreCluster(tmp_path, settings)
    await cluster.start()
    yield cluster
    await asyncio.gather(*(member.log.stop() for member in cluster.members.values()))
    assert cluster.failures == []


async def test_what_is_written_by_any_is_read_by_any(three: StoreCluster) -> None:
    for number, writer in enumerate(three.members.values()):
        node = f"n{number}"
        await writer.store.propose([Create(object=Node(id=node))])
        assert node in writer.store.state.nodes
        for reader in three.members.values():
            await reader.store.up_to_date()
            assert node in reader.store.state.nodes
    await three.same()


async def test_a_refusal_travels_to_the_follower_that_asked(three: StoreCluster) -> None:
    leader = await three.leader()
    (follower, _) = await three.others(leader)
    await follower.store.propose([Create(object=Node(id="n"))])
    with pytest.raises(ConflictError, match="node n already exists"):
        await follower.store.propose([Create(object=Node(id="n"))])


async def test_a_leader_that_is_cut_off_learns_what_became_of_its_proposal(
    three: StoreCluster,
) -> None:
    """It was never replicated: once there is a new leader, the same request goes there, and is applied once."""
    leader = await three.leader()
    three.network.cut_off(leader.name)
    async with asyncio.TaskGroup() as group:
        proposing = group.create_task(leader.store.propose([Create(object=Node(id="n"))]))
        successor = await three.leader(*(name for name in NAMES if name != leader.name))
        await successor.store.propose([Create(object=Node(id="m"))])
        three.network.heal()
        await asyncio.wait_for(proposing, WAIT_SECONDS)
    await three.same()
    assert [*leader.store.state.nodes] == ["m", "n"]


async def test_what_a_replaced_leader_decides_is_refused(three: StoreCluster) -> None:
    leader = await three.leader()
    former = await leader.store.begin_reign()
    await former.propose([Create(object=Node(id="n"))])
    await leader.log.transfer(None)
    successor = await three.leader(*(name for name in NAMES if name != leader.name))
    latter = await successor.store.begin_reign()
    with pytest.raises(ReignOverError):
        await former.propose([Create(object=Node(id="late"))])
    await latter.propose([Create(object=Node(id="m"))])
    await three.same()
    assert [*leader.store.state.nodes] == ["n", "m"]


async def test_without_a_majority_nobody_is_up_to_date_but_what_is_there_can_be_seen(
    three: StoreCluster,
) -> None:
    leader = await three.leader()
    await leader.store.propose([Create(object=Node(id="n"))])
    for other in await three.others(leader):
        await other.log.stop()
    with pytest.raises(NoLeaderError):
        await leader.store.up_to_date()
    assert [*leader.store.state.nodes] == ["n"]


async def test_one_that_lags_behind_the_log_gets_a_snapshot_and_its_watchers_look_again(
    three: StoreCluster,
) -> None:
    leader = await three.leader()
    (lagging, _) = await three.others(leader)
    await lagging.store.propose([Create(object=Node(id="first"))])
    async with lagging.store.watch() as watch:
        three.network.cut_off(lagging.name)
        for number in range(120):
            await leader.store.propose([Create(object=Node(id=f"n{number}"))])
        state = lagging.store.state
        watch.waiting()
        three.network.heal()
        with pytest.raises(WatchLaggedError):
            await asyncio.wait_for(_lag(watch), WAIT_SECONDS)
    await three.same()
    assert (lagging.store.state, len(state.nodes)) == (state, 121)


async def _lag(watch: Watch) -> None:
    while True:
        await watch.take()


async def test_a_restart_finds_snapshot_and_log(three: StoreCluster) -> None:
    leader = await three.leader()
    for number in range(100):
        await leader.store.propose([Create(object=Node(id=f"n{number}"))])
    await asyncio.gather(*(member.log.stop() for member in three.members.values()))
    await asyncio.gather(*(member.restart() for member in three.members.values()))
    await three.leader()
    await three.same()
    assert len(leader.store.state.nodes) == 100


async def test_counting_up_by_compare_and_set_loses_nothing_and_counts_nothing_twice(
    three: StoreCluster,
) -> None:
    """While leaders are cut off one after the other. An unknown outcome may count or not."""
    first = await three.leader()
    await first.store.propose([Create(object=Node(id=COUNTER, spec=NodeSpec(name="0")))])
    sure, unknown = [0], [0]
    async with asyncio.TaskGroup() as group:
        counting = [
            group.create_task(_count(member, sure, unknown)) for member in three.members.values()
        ]
        for _ in range(3):
            await asyncio.sleep(0.3)
            three.network.cut_off((await three.leader()).name)
            await asyncio.sleep(0.5)
            three.network.heal()
        for task in counting:
            task.cancel()
    await three.same()
    count = int(first.store.state.nodes[COUNTER].spec.name)
    assert (
        sure[0] <= count <= sure[0] + unknown[0] + len(counting)
    )  # the last of each was cancelled
    assert sure[0] > 50


async def _count(member: StoreMember, sure: list[int], unknown: list[int]) -> None:
    store = member.store
    while True:
        await asyncio.sleep(0.001)
        with suppress(StaleVersionError, UnavailableError):
            await store.up_to_date()
            counter = store.state.nodes[COUNTER]
            spec = NodeSpec(name=str(int(counter.spec.name) + 1))
            try:
                await store.propose([Update(object=replace(counter, spec=spec))])
            except OutcomeUnknownError:
                unknown[0] += 1
                raise
            sure[0] += 1
