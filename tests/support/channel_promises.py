"""What every channel promises, whatever carries it; each is given its two ends."""

import asyncio

from common.protocol.channel import Channel
from common.protocol.messages import Heartbeat, LogMore, Message, ReportTaken


async def turns(count: int) -> None:
    """Lets the loop go round."""
    for _ in range(count):
        await asyncio.sleep(0)


async def messages_arrive_in_order_and_in_both_directions(manager: Channel, agent: Channel) -> None:
    for number in range(3):
        await manager.send(ReportTaken(number=number))
    await agent.send(Heartbeat())

    assert [await agent.receive() for _ in range(3)] == [ReportTaken(number=n) for n in range(3)]
    assert await manager.receive() == Heartbeat()


async def no_message_is_lost_when_receiving_is_cancelled(
    manager: Channel, agent: Channel, turns_before: int, turns_between: int
) -> None:
    received: list[Message] = []

    async def receive() -> None:
        received.append(await agent.receive())

    async with asyncio.TaskGroup() as group:
        receiving = group.create_task(receive())
        await turns(turns_before)
        await manager.send(LogMore(request_id="r"))
        await turns(turns_between)
        receiving.cancel()
    if not received:
        received.append(await agent.receive())

    assert received == [LogMore(request_id="r")]
