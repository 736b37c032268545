import asyncio

import pytest

from common.protocol.channel import CHANNEL_QUEUE_MAX, ChannelClosedError, local_channel
from common.protocol.messages import Heartbeat, ReportTaken
from tests.support.channel_promises import (
    messages_arrive_in_order_and_in_both_directions,
    no_message_is_lost_when_receiving_is_cancelled,
    turns,
)

TURNS = 5
"""Rounds of the loop in which whatever can happen has happened."""


async def test_messages_arrive_in_order_and_in_both_directions() -> None:
    manager, agent = local_channel()
    await messages_arrive_in_order_and_in_both_directions(manager, agent)


async def test_a_sender_waits_for_a_slow_receiver() -> None:
    manager, agent = local_channel()
    sent: list[int] = []

    async def send_all() -> None:
        for number in range(CHANNEL_QUEUE_MAX + 1):
            await manager.send(ReportTaken(number=number))
            sent.append(number)

    async with asyncio.TaskGroup() as group:
        group.create_task(send_all())
        await turns(TURNS)
        assert len(sent) == CHANNEL_QUEUE_MAX
        await agent.receive()
        await turns(TURNS)
        assert len(sent) == CHANNEL_QUEUE_MAX + 1


async def test_what_was_sent_before_the_end_is_still_received() -> None:
    manager, agent = local_channel()
    await manager.send(ReportTaken(number=1))
    manager.close()

    assert await agent.receive() == ReportTaken(number=1)
    with pytest.raises(ChannelClosedError):
        await agent.receive()
    with pytest.raises(ChannelClosedError):
        await agent.send(Heartbeat())


@pytest.mark.parametrize("closer", ["own", "other"])
async def test_closing_either_side_ends_every_wait(closer: str) -> None:
    manager, agent = local_channel()
    ended: list[str] = []

    async def receive() -> None:
        with pytest.raises(ChannelClosedError):
            await manager.receive()
        ended.append("receive")

    async def send() -> None:
        for number in range(CHANNEL_QUEUE_MAX):
            await manager.send(ReportTaken(number=number))
        with pytest.raises(ChannelClosedError):
            await manager.send(Heartbeat())
        ended.append("send")

    async with asyncio.TaskGroup() as group:
        group.create_task(receive())
        group.create_task(send())
        await turns(TURNS)
        (manager if closer == "own" else agent).close()
    assert sorted(ended) == ["receive", "send"]


@pytest.mark.parametrize("turns_between", range(4))
async def test_no_message_is_lost_when_receiving_is_cancelled(turns_between: int) -> None:
    manager, agent = local_channel()
    await no_message_is_lost_when_receiving_is_cancelled(manager, agent, TURNS, turns_between)


async def test_a_cancelled_send_sends_nothing() -> None:
    manager, agent = local_channel()
    for number in range(CHANNEL_QUEUE_MAX):
        await manager.send(ReportTaken(number=number))
    async with asyncio.TaskGroup() as group:
        sending = group.create_task(manager.send(Heartbeat()))
        await turns(TURNS)
        sending.cancel()
    manager.close()

    received = [await agent.receive() for _ in range(CHANNEL_QUEUE_MAX)]
    assert Heartbeat() not in received
    with pytest.raises(ChannelClosedError):
        await agent.receive()
