"""What is in a log and not committed may yet be reversed: nobody is told of it as if it could not."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from common.errors import OutcomeUnknownError
from manager.raft.messages import Append
from tests.support.raft_cluster import WAIT_SECONDS, RaftCluster, RaftMember


@pytest.fixture
async def three(tmp_path: Path) -> AsyncIterator[RaftCluster]:
    cluster = RaftCluster(tmp_path)
    await cluster.grow_to("a", "b", "c")
    yield cluster
    await cluster.stop()
    assert cluster.failures == []


async def leader_and_others(cluster: RaftCluster) -> tuple[RaftMember, RaftMember, RaftMember]:
    await cluster.settled()
    leader = await cluster.leader()
    one, other = (member for member in cluster.members.values() if member is not leader)
    return leader, one, other


def cut(cluster: RaftCluster, one: RaftMember, other: RaftMember) -> None:
    a, b = one.peer.member_id, other.peer.member_id
    cluster.network.cuts |= {(a, b), (b, a)}


async def test_a_member_is_not_told_of_its_removal_before_that_is_committed(
    three: RaftCluster,
) -> None:
    leader, one, other = await leader_and_others(three)
    cut(three, leader, other)
    with pytest.raises(OutcomeUnknownError):  # it takes both of those who are left
        await asyncio.wait_for(leader.log.remove(one.peer.member_id), WAIT_SECONDS)
    for member in (leader, one):
        status = member.log.status()
        assert len(status.members) == 2
        assert status.removed == frozenset()
    await asyncio.sleep(0.05)
    assert not one.removed.is_set()
    three.network.heal()
    await asyncio.wait_for(one.removed.wait(), WAIT_SECONDS)


async def test_a_removal_that_was_not_committed_is_none_in_a_cluster_forced_from_that_log(
    three: RaftCluster,
) -> None:
    leader, one, other = await leader_and_others(three)
    cut(three, leader, other)  # so nobody commits what the log of the one will hold
    removal = asyncio.create_task(leader.log.remove(one.peer.member_id))
    await three.until(lambda: len(one.log.status().members) == 2)
    await leader.log.stop()
    with pytest.raises(OutcomeUnknownError):
        await asyncio.wait_for(removal, WAIT_SECONDS)
    await one.force_new_cluster()
    await asyncio.wait_for(one.log.until_leader(), WAIT_SECONDS)
    await three.propose(one, b"1")
    status = one.log.status()
    assert [peer.member_id for peer in status.members] == [one.peer.member_id]
    assert not one.removed.is_set()


async def test_a_joiner_is_no_member_before_its_addition_is_committed(three: RaftCluster) -> None:
    leader, _, _ = await leader_and_others(three)
    three.network.loses = lambda _sender, to, message: (
        to in "abc" and isinstance(message, Append) and bool(message.entries)
    )
    joiner = three.members["x"] = RaftMember(three, "x")
    await joiner.log.start()
    addition = asyncio.create_task(leader.log.add(joiner.peer))
    await three.until(lambda: len(joiner.log.status().members) == 4)
    assert not joiner.log.status().is_member
    three.network.loses = lambda *_: False
    await asyncio.wait_for(addition, WAIT_SECONDS)
    await three.until(lambda: joiner.log.status().is_member)
