"""What somebody can do whose certificate is a manager's, but who is none any more."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from manager.raft.messages import Removed
from tests.support.raft_cluster import RaftCluster


@pytest.fixture
async def three(tmp_path: Path) -> AsyncIterator[RaftCluster]:
    cluster = RaftCluster(tmp_path)
    await cluster.grow_to("a", "b", "c")
    await cluster.settled()
    yield cluster
    await cluster.stop()
    assert cluster.failures == []


async def test_nobody_but_a_member_is_believed_that_one_was_removed(three: RaftCluster) -> None:
    stranger = three.network.of("x")
    stranger.start(lambda _sender, _message: None, lambda _peer: None)
    stranger.set_peers({name: f"{name}:2377" for name in three.members})
    for name in three.members:
        assert stranger.send(name, Removed(member_id=name))
    await asyncio.sleep(0.05)
    assert not [name for name, member in three.members.items() if member.removed.is_set()]


async def test_the_nodes_of_removed_members_are_known(three: RaftCluster) -> None:
    leader, follower = await three.leader(), await three.follower()
    await leader.log.remove(follower.peer.member_id)
    assert leader.log.status().removed_nodes == {follower.peer.node_id}
