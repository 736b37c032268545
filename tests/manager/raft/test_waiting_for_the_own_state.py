"""A follower waits until its own state holds what the leader said: not for ever, and never saying the contrary."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest

from common.errors import NoLeaderError, OutcomeUnknownError
from manager.raft.messages import Append, Forwarded, Message, ReadIndex
from tests.support.raft_cluster import WAIT_SECONDS, RaftCluster, RaftMember


@pytest.fixture
async def three(tmp_path: Path) -> AsyncIterator[RaftCluster]:
    cluster = RaftCluster(tmp_path)
    await cluster.grow_to("a", "b", "c")
    await cluster.settled()
    yield cluster
    await cluster.stop()
    assert cluster.failures == []


async def answered_but_not_told(
    cluster: RaftCluster, follower: RaftMember, asked: Awaitable[object], answer: type[Message]
) -> "asyncio.Task[object]":
    """Asks through a follower that gets the leader's answer, and nothing more of the log."""
    name = follower.peer.member_id

    def loses(_sender: str, to: str, message: Message) -> bool:
        return to == name and isinstance(message, Append)

    async def ask() -> object:
        return await asked

    cluster.network.loses = loses
    task = asyncio.create_task(ask())
    await cluster.until(
        lambda: any(
            to == name and isinstance(message, answer)
            for _, to, message in cluster.network.delivered
        )
    )
    return task


async def test_a_proposal_that_is_committed_is_not_waited_for_without_end(
    three: RaftCluster,
) -> None:
    follower = await three.follower()
    task = await answered_but_not_told(
        three, follower, follower.log.propose(b"1", bytes(16)), Forwarded
    )
    with pytest.raises(OutcomeUnknownError):
        await asyncio.wait_for(task, WAIT_SECONDS)
    three.network.loses = lambda *_: False
    await three.until(lambda: follower.log.leader is not None)
    await asyncio.wait_for(follower.log.propose(b"1", bytes(16)), WAIT_SECONDS)
    assert await three.settled() == [b"1"]


async def test_a_manager_that_ends_does_not_say_that_nothing_was_proposed(
    three: RaftCluster,
) -> None:
    follower = await three.follower()
    task = await answered_but_not_told(
        three, follower, follower.log.propose(b"1", bytes(16)), Forwarded
    )
    await follower.log.stop()
    with pytest.raises(OutcomeUnknownError):
        await asyncio.wait_for(task, WAIT_SECONDS)


async def test_a_read_does_not_wait_without_end(three: RaftCluster) -> None:
    leader, follower = await three.leader(), await three.follower()
    three.network.delivered.clear()
    name = follower.peer.member_id
    three.network.loses = lambda _sender, to, message: to == name and isinstance(message, Append)
    await three.propose(leader, b"1")
    task = await answered_but_not_told(three, follower, follower.log.up_to_date(), ReadIndex)
    with pytest.raises(NoLeaderError):
        await asyncio.wait_for(task, WAIT_SECONDS)
