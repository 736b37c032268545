import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from common.errors import (
    ConflictError,
    NoLeaderError,
    NotFoundError,
    OutcomeUnknownError,
    UnavailableError,
)
from manager.raft.errands import ANSWER_SECONDS_MAX
from manager.raft.messages import SnapshotPart
from tests.support.raft_cluster import QUICK, WAIT_SECONDS, RaftCluster, RaftMember


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[RaftCluster]:
    cluster = RaftCluster(tmp_path)
    yield cluster
    await cluster.stop()
    assert cluster.failures == []


@pytest.fixture
async def three(cluster: RaftCluster) -> RaftCluster:
    await cluster.grow_to("a", "b", "c")
    return cluster


async def test_everyone_applies_what_the_leader_proposes(three: RaftCluster) -> None:
    await three.propose(await three.leader(), b"1", b"2", b"3")
    assert await three.settled() == [b"1", b"2", b"3"]


async def test_a_follower_hands_a_proposal_on_and_has_applied_it(three: RaftCluster) -> None:
    follower = await three.follower()
    await three.propose(follower, b"1")
    assert follower.machine.applied == [b"1"]


async def test_a_follower_is_up_to_date_after_asking(three: RaftCluster) -> None:
    leader, follower = await three.leader(), await three.follower()
    for number in range(20):
        await three.propose(leader, b"%d" % number)
        await asyncio.wait_for(follower.log.up_to_date(), WAIT_SECONDS)
        assert len(follower.machine.applied) == number + 1


async def test_the_leader_is_up_to_date_only_while_a_majority_follows(three: RaftCluster) -> None:
    leader = await three.leader()
    await asyncio.wait_for(leader.log.up_to_date(), WAIT_SECONDS)
    three.network.cut_off(leader.peer.member_id)
    with pytest.raises(NoLeaderError):
        await asyncio.wait_for(leader.log.up_to_date(), WAIT_SECONDS)


async def test_when_the_leader_ends_another_goes_on(three: RaftCluster) -> None:
    leader = await three.leader()
    await three.propose(leader, b"1")
    name = leader.peer.member_id
    await leader.log.stop()
    others = [n for n in three.members if n != name]
    await three.propose(await three.leader(*others), b"2")
    assert await three.settled(*others) == [b"1", b"2"]
    await three.members[name].restart()
    assert await three.settled() == [b"1", b"2"]


async def test_a_leader_that_is_cut_off_says_so_and_its_entries_are_reversed(
    three: RaftCluster,
) -> None:
    leader = await three.leader()
    await three.propose(leader, b"1")
    three.network.cut_off(leader.peer.member_id)
    with pytest.raises(OutcomeUnknownError):
        await three.propose(leader, b"lost")
    others = [n for n in three.members if n != leader.peer.member_id]
    await three.propose(await three.leader(*others), b"2")
    three.network.heal()
    assert await three.settled() == [b"1", b"2"]


async def test_without_a_majority_nothing_is_proposed_and_it_is_said_in_dockers_words(
    three: RaftCluster,
) -> None:
    leader = await three.leader()
    for member in three.members.values():
        if member is not leader:
            await member.log.stop()
    await three.until(lambda: not leader.log.is_leader)
    with pytest.raises(NoLeaderError, match=r"The swarm does not have a leader\. It's possible"):
        await three.propose(leader, b"x")


async def test_all_at_once_stopped_and_started_again(three: RaftCluster) -> None:
    await three.propose(await three.leader(), b"1", b"2")
    await asyncio.gather(*(member.log.stop() for member in three.members.values()))
    await asyncio.gather(*(member.restart() for member in three.members.values()))
    await three.propose(await three.leader(), b"3")
    assert await three.settled() == [b"1", b"2", b"3"]


async def test_leadership_is_handed_over(three: RaftCluster) -> None:
    leader, follower = await three.leader(), await three.follower()
    await three.propose(leader, b"1")
    await asyncio.wait_for(leader.log.transfer(follower.peer.member_id), WAIT_SECONDS)
    await three.until(lambda: follower.log.is_leader)
    await three.propose(leader, b"2")
    assert await three.settled() == [b"1", b"2"]


async def test_what_was_asked_of_a_leader_that_fell_silent_is_asked_of_the_next(
    cluster: RaftCluster,
) -> None:
    cluster.settings = replace(QUICK, leader_wait_seconds=ANSWER_SECONDS_MAX - 1)
    await cluster.grow_to("a", "b", "c")
    leader, follower = await cluster.leader(), await cluster.follower()
    silent = leader.peer.member_id
    cluster.network.loses = lambda sender, to, _: silent in (sender, to)  # the links still stand
    read = asyncio.ensure_future(follower.log.up_to_date())
    with pytest.raises(OutcomeUnknownError, match="the leader changed before it answered"):
        await follower.log.propose(b"1", bytes(16))
    await asyncio.wait_for(read, WAIT_SECONDS)
    await follower.log.propose(b"1", bytes(16))
    assert follower.machine.applied == [b"1"]


async def test_one_that_cannot_reach_the_leader_does_not_disturb(three: RaftCluster) -> None:
    leader, follower = await three.leader(), await three.follower()
    term = leader.log.status().term
    three.network.cuts = {(leader.peer.member_id, follower.peer.member_id)}
    await asyncio.sleep(QUICK.election_seconds_max * 3)
    three.network.heal()
    await three.propose(leader, b"1")
    assert await three.settled() == [b"1"]
    assert leader.log.status().term == term


# ------------------------------------------------------------------------------------ members


async def test_the_members_are_known_to_all(three: RaftCluster) -> None:
    await three.settled()
    for member in three.members.values():
        assert [p.member_id for p in member.log.status().members] == ["a", "b", "c"]
        assert member.log.status().leader == three.members["a"].peer
    assert three.members["a"].log.status().reachable == {"a", "b", "c"}


async def test_a_member_is_removed_told_and_never_returns(three: RaftCluster) -> None:
    leader, follower = await three.leader(), await three.follower()
    await leader.log.remove(follower.peer.member_id)
    await asyncio.wait_for(follower.removed.wait(), WAIT_SECONDS)
    assert len(leader.log.status().members) == 2
    with pytest.raises(ConflictError, match="was removed from the swarm"):
        await leader.log.add(follower.peer)
    await three.propose(leader, b"1")


async def test_one_that_was_away_when_it_was_removed_is_told_when_it_returns(
    three: RaftCluster,
) -> None:
    leader, follower = await three.leader(), await three.follower()
    three.network.cut_off(follower.peer.member_id)
    await leader.log.remove(follower.peer.member_id)
    assert not follower.removed.is_set()
    three.network.heal()
    await asyncio.wait_for(follower.removed.wait(), WAIT_SECONDS)


async def test_the_leader_itself_is_removed_from_a_follower(three: RaftCluster) -> None:
    leader, follower = await three.leader(), await three.follower()
    await asyncio.wait_for(follower.log.remove(leader.peer.member_id), WAIT_SECONDS)
    await asyncio.wait_for(leader.removed.wait(), WAIT_SECONDS)
    others = [n for n in three.members if n != leader.peer.member_id]
    await three.propose(await three.leader(*others), b"1")


async def test_no_removal_below_a_reachable_majority_without_force(three: RaftCluster) -> None:
    leader, follower = await three.leader(), await three.follower()
    (third,) = (m for m in three.members.values() if m not in (leader, follower))
    three.network.cut_off(third.peer.member_id)
    await three.until(lambda: third.peer.member_id not in leader.log.status().reachable)
    with pytest.raises(ConflictError, match="no majority"):
        await leader.log.remove(follower.peer.member_id)
    await leader.log.remove(third.peer.member_id)
    with pytest.raises(NotFoundError):
        await leader.log.remove(third.peer.member_id)


async def test_the_last_member_stays(cluster: RaftCluster) -> None:
    await cluster.grow_to("a")
    with pytest.raises(ConflictError, match="the last manager"):
        await cluster.members["a"].log.remove("a")


async def test_a_joiner_alone_does_not_campaign(cluster: RaftCluster) -> None:
    joiner = RaftMember(cluster, "x")
    cluster.members["x"] = joiner
    await joiner.log.start()
    await asyncio.sleep(QUICK.election_seconds_max * 2)
    assert (joiner.log.status().term, joiner.log.is_leader) == (0, False)


# ---------------------------------------------------------------------------------- snapshots


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[RaftCluster]:
    settings = replace(QUICK, snapshot_entries=50, kept_entries=10)
    cluster = RaftCluster(tmp_path, settings)
    yield cluster
    await cluster.stop()
    assert cluster.failures == []


async def test_snapshots_are_made_and_found_again(small: RaftCluster) -> None:
    await small.grow_to("a", "b", "c")
    entries = [b"%d" % n for n in range(200)]
    await small.propose(await small.leader(), *entries)
    await small.settled()
    await small.until(lambda: all(m.log.status().snapshot for m in small.members.values()))
    await asyncio.gather(*(member.log.stop() for member in small.members.values()))
    await asyncio.gather(*(member.restart() for member in small.members.values()))
    assert await small.settled() == entries


async def test_one_that_lags_behind_a_snapshot_is_fed_with_it(small: RaftCluster) -> None:
    await small.grow_to("a", "b", "c")
    leader, follower = await small.leader(), await small.follower()
    small.network.cut_off(follower.peer.member_id)
    entries = [b"%d" % n for n in range(200)]
    await small.propose(leader, *entries)
    await small.until(lambda: leader.log.status().snapshot > 100)
    small.network.heal()
    assert await small.settled() == entries
    await small.propose(leader, b"more")
    assert await small.settled() == [*entries, b"more"]
    await follower.restart()
    assert await small.settled() == [*entries, b"more"]


async def test_a_new_member_is_fed_with_a_snapshot(small: RaftCluster) -> None:
    await small.grow_to("a")
    entries = [b"%d" % n for n in range(200)]
    await small.propose(small.members["a"], *entries)
    await small.until(lambda: small.members["a"].log.status().snapshot > 100)
    await small.grow_to("b", "c")
    assert await small.settled() == entries
    assert small.members["c"].log.status().snapshot > 100


async def test_a_snapshot_goes_on_where_a_broken_link_left_it(small: RaftCluster) -> None:
    await small.grow_to("a", "b", "c")
    leader, follower = await small.leader(), await small.follower()
    name = follower.peer.member_id
    small.network.cut_off(name)
    entries = [b"%d" % n for n in range(200)]
    await small.propose(leader, *entries)
    await small.until(lambda: leader.log.status().snapshot > 100)
    small.network.heal()

    def parts() -> list[int]:
        return [
            message.number
            for _, to, message in small.network.delivered
            if to == name and isinstance(message, SnapshotPart)
        ]

    await small.until(lambda: len(parts()) > 20)
    small.network.cut_off(name)
    await asyncio.sleep(0.05)
    small.network.heal()
    assert await small.settled() == entries
    assert parts().count(0) == 1


# ----------------------------------------------------------------------------- a new cluster


async def test_a_new_cluster_is_forced_from_what_one_member_holds(three: RaftCluster) -> None:
    await three.propose(await three.leader(), b"1", b"2")
    await three.settled()
    await asyncio.gather(*(member.log.stop() for member in three.members.values()))
    survivor = three.members["b"]
    survivor.log = survivor._new_log()
    await survivor.log.force_new_cluster()
    await asyncio.wait_for(survivor.log.until_leader(), WAIT_SECONDS)
    await three.propose(survivor, b"3")
    status = survivor.log.status()
    assert survivor.machine.applied == [b"1", b"2", b"3"]
    assert ([p.member_id for p in status.members], status.removed) == (["b"], frozenset("ac"))
    await three.members["a"].restart()
    await asyncio.wait_for(three.members["a"].removed.wait(), WAIT_SECONDS)


async def test_a_snapshot_is_restored_into_a_new_cluster(three: RaftCluster) -> None:
    leader = await three.leader()
    await three.propose(leader, b"1", b"2")
    meta = await leader.log.snapshot_now()
    fresh = RaftMember(three, "x")
    await fresh.log.restore(meta.index, [*leader.machine.snapshot()])
    three.members["x"] = fresh
    await asyncio.wait_for(fresh.log.until_leader(), WAIT_SECONDS)
    (index,) = await three.propose(fresh, b"3")
    assert index > meta.index
    assert fresh.machine.applied == [b"1", b"2", b"3"]


async def test_nothing_is_proposed_that_would_make_the_log_too_large_for_memory(
    tmp_path: Path,
) -> None:
    settings = replace(QUICK, kept_entries=1, kept_bytes=100, log_bytes_max=10_000)
    cluster = RaftCluster(tmp_path, settings)
    await cluster.grow_to("a")
    (member,) = cluster.members.values()
    with pytest.raises(UnavailableError, match="wait for a snapshot"):
        await cluster.propose(member, *[bytes(1_000)] * 11)
    await member.log.snapshot_now()
    await cluster.propose(member, bytes(1_000))
    await cluster.stop()
    assert cluster.failures == []
