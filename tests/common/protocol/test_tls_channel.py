"""The same as any channel, over a stream whose other end is in the same process and as slow as told."""

import asyncio
from collections.abc import Callable

import pytest
from typing_extensions import override

from common.codec import encode
from common.errors import TooLargeError
from common.protocol.channel import CHANNEL_QUEUE_MAX, ChannelClosedError
from common.protocol.messages import (
    Heartbeat,
    LogEnd,
    ReportTaken,
    SessionRefused,
)
from common.protocol.stream import FramedStream
from common.protocol.tls_channel import (
    AGENT_END,
    FROM_AGENT_BYTES_MAX,
    MANAGER_END,
    BadMessageError,
    TlsChannel,
    agent_end,
    manager_end,
)
from tests.support.channel_promises import (
    messages_arrive_in_order_and_in_both_directions,
    no_message_is_lost_when_receiving_is_cancelled,
    turns,
)

TURNS = 10
"""Rounds of the loop in which whatever can happen has happened."""


class Wire(asyncio.Transport):
    """Carries bytes to the other end a turn later; holds them while the other end does not read."""

    def __init__(self, own: FramedStream) -> None:
        super().__init__()
        self.own = own
        self.other: Wire | None = None
        self.held = bytearray()
        self.reads = self.is_open = True
        self.is_full = False

    @override
    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert self.other is not None
        self.other.held += data
        asyncio.get_running_loop().call_soon(self.other.give)
        if len(self.other.held) > 256 * 1024 and not self.is_full:
            self.is_full = True
            self.own.pause_writing()

    def give(self) -> None:
        assert self.other is not None
        while self.reads and self.held:
            part = bytes(self.held[:65536])
            del self.held[:65536]
            self.own.get_buffer(0)[: len(part)] = part
            self.own.buffer_updated(len(part))
        if not self.held and self.other.is_full:
            self.other.is_full = False
            self.other.own.resume_writing()
        if not self.held and self.is_open and not self.other.is_open:
            self.abort()

    @override
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    @override
    def pause_reading(self) -> None:
        self.reads = False

    @override
    def resume_reading(self) -> None:
        self.reads = True
        asyncio.get_running_loop().call_soon(self.give)

    @override
    def close(self) -> None:
        self.abort()

    @override
    def abort(self) -> None:
        assert self.other is not None
        if self.is_open:
            self.is_open = False
            loop = asyncio.get_running_loop()
            loop.call_soon(self.own.connection_lost, None)
            loop.call_soon(self.other.give)


def channels() -> tuple[TlsChannel, TlsChannel, Wire]:
    """A manager's end, the agent's, and the agent's side of the wire."""
    managers, agents = FramedStream(MANAGER_END), FramedStream(AGENT_END)
    here, there = Wire(managers), Wire(agents)
    here.other, there.other = there, here
    managers.connection_made(here)
    agents.connection_made(there)
    return manager_end(managers), agent_end(agents), there


async def test_messages_arrive_in_order_and_in_both_directions() -> None:
    manager, agent, _ = channels()
    await messages_arrive_in_order_and_in_both_directions(manager, agent)


async def test_a_sender_waits_for_a_slow_receiver_and_nothing_is_lost() -> None:
    manager, agent, wire = channels()
    sent, count = 0, 3000
    large = "x" * 10_000

    async def send_all() -> None:
        nonlocal sent
        for number in range(count):
            await manager.send(SessionRefused(reason=f"{number} {large}"))
            sent += 1

    async with asyncio.TaskGroup() as group:
        sending = group.create_task(send_all())
        await turns(500)
        assert not sending.done()
        assert not wire.reads
        assert sent < 500
        for number in range(count):
            message = await agent.receive()
            assert isinstance(message, SessionRefused)
            assert message.reason.startswith(f"{number} ")


async def test_many_small_messages_are_held_back_too() -> None:
    manager, agent, wire = channels()
    for number in range(CHANNEL_QUEUE_MAX + 10):
        await manager.send(ReportTaken(number=number))
        await turns(2)
    assert not wire.reads
    for _ in range(CHANNEL_QUEUE_MAX + 10):
        await agent.receive()
    assert wire.reads


async def test_what_was_sent_before_the_end_is_still_received() -> None:
    manager, agent, _ = channels()
    await manager.send(SessionRefused(reason="no"))
    manager.close()
    await turns(TURNS)
    assert await agent.receive() == SessionRefused(reason="no")
    with pytest.raises(ChannelClosedError):
        await agent.receive()
    with pytest.raises(ChannelClosedError):
        await agent.send(Heartbeat())


@pytest.mark.parametrize("closer", ["own", "other"])
async def test_closing_either_side_ends_every_wait(closer: str) -> None:
    manager, agent, wire = channels()
    ended: list[str] = []

    async def receive() -> None:
        with pytest.raises(ChannelClosedError):
            await manager.receive()
        ended.append("receive")

    async def send_without_end() -> None:
        while True:
            await manager.send(SessionRefused(reason="x" * 100_000))

    async def send() -> None:
        with pytest.raises(ChannelClosedError):
            await send_without_end()
        ended.append("send")

    async with asyncio.TaskGroup() as group:
        group.create_task(receive())
        group.create_task(send())
        await turns(200)
        if closer == "own":
            manager.close()
        else:
            wire.held.clear()
            agent.close()
    assert sorted(ended) == ["receive", "send"]


@pytest.mark.parametrize("turns_between", range(6))
async def test_no_message_is_lost_when_receiving_is_cancelled(turns_between: int) -> None:
    manager, agent, _ = channels()
    await no_message_is_lost_when_receiving_is_cancelled(manager, agent, TURNS, turns_between)


NO_MESSAGES: dict[str, Callable[[], bytes]] = {
    "a pickle": lambda: b"\x80\x04\x95\x1f\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94.",
    "text": lambda: b"hello",
    "a kind that nobody knows": lambda: b"\x92\xa6Nobody\x01",
    "a field of another type": lambda: b"\x92\xa6LogEnd\x01",
    "what only managers say": lambda: encode(ReportTaken(number=1)),
}


@pytest.mark.parametrize("frame_of", NO_MESSAGES.values(), ids=NO_MESSAGES)
async def test_what_is_no_message_of_an_agent_ends_the_channel(
    frame_of: Callable[[], bytes],
) -> None:
    manager, agent, _ = channels()
    await agent.send(LogEnd(request_id="r"))
    agent._stream.send(frame_of())
    await agent.send(Heartbeat())
    assert await manager.receive() == LogEnd(request_id="r")
    with pytest.raises(BadMessageError):
        await manager.receive()
    with pytest.raises(ChannelClosedError):
        await manager.send(ReportTaken(number=1))


async def test_too_large_a_message_is_not_sent_and_the_channel_goes_on() -> None:
    manager, agent, _ = channels()
    with pytest.raises(TooLargeError, match="a LogEnd of"):
        await agent.send(LogEnd(request_id="x" * FROM_AGENT_BYTES_MAX))
    await agent.send(Heartbeat())
    assert await manager.receive() == Heartbeat()
