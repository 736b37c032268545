"""Bytes between a client and a process."""

import asyncio
from dataclasses import dataclass, field

import pytest
from typing_extensions import override

from common.engine_api.streams import frame
from common.errors import UnavailableError
from tests.support.fake_machinery import FakeStreams
from tests.support.local_node import until
from worker.api.pump import Plan, Why, carry

PLAN = Plan(stdin=True, stdout=True, stderr=True, framed=True, closes_input=True)


@dataclass
class Client:
    inbox: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    got: list[bytes] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> bytes:
        return await self.inbox.get()

    async def write(self, data: bytes) -> None:
        if self.gone.is_set():
            raise ConnectionResetError
        self.got.append(data)

    async def until_gone(self) -> None:
        await self.gone.wait()


def process(*output: tuple[int, bytes] | None) -> FakeStreams:
    streams = FakeStreams()
    for piece in output:
        streams.output.put_nowait(piece)
    return streams


def plan(*, framed: bool = True, closes_input: bool = True, detach_keys: bytes = b"") -> Plan:
    return Plan(
        stdin=True,
        stdout=True,
        stderr=True,
        framed=framed,
        closes_input=closes_input,
        detach_keys=detach_keys,
    )


async def test_output_has_headers_and_ends_it() -> None:
    client = Client()
    why = await carry(client, process((1, b"out"), (2, b"err"), None), PLAN)
    assert why is Why.OUTPUT_ENDED
    assert client.got == [frame(1, b"out"), frame(2, b"err")]


async def test_a_terminal_has_none() -> None:
    client = Client()
    await carry(client, process((1, b"out"), None), plan(framed=False))
    assert client.got == [b"out"]


async def test_what_nobody_asked_for_is_dropped() -> None:
    client = Client()
    quiet = Plan(stdin=False, stdout=False, stderr=True, framed=False, closes_input=True)
    await carry(client, process((1, b"out"), (2, b"err"), None), quiet)
    assert client.got == [b"err"]


async def test_the_end_of_input_is_the_processs_and_its_output_goes_on() -> None:
    client, streams = Client(), process()
    client.inbox.put_nowait(b"input")
    client.inbox.put_nowait(b"")
    carrying = asyncio.ensure_future(carry(client, streams, PLAN))
    await until(lambda: streams.input_ended)
    streams.output.put_nowait((1, b"later"))
    streams.output.put_nowait(None)
    assert await carrying is Why.OUTPUT_ENDED
    assert streams.written == [b"input"]
    assert client.got == [frame(1, b"later")]


async def test_without_stdin_once_it_only_ends_the_carrying() -> None:
    client, streams = Client(), process()
    client.inbox.put_nowait(b"")
    assert await carry(client, streams, plan(closes_input=False)) is Why.INPUT_ENDED
    assert not streams.input_ended


async def test_the_keys_let_go_and_the_process_does_not_see_them() -> None:
    client, streams = Client(), process()
    client.inbox.put_nowait(b"ls\x10")
    client.inbox.put_nowait(b"\x11rest")
    assert await carry(client, streams, plan(detach_keys=b"\x10\x11")) is Why.DETACHED
    assert streams.written == [b"ls"]


async def test_a_client_that_leaves_ends_it() -> None:
    client, streams = Client(), process()
    client.gone.set()
    assert await carry(client, streams, PLAN) is Why.CLIENT_GONE


class Broken(FakeStreams):
    @override
    async def read(self) -> tuple[int, bytes] | None:
        raise UnavailableError("cut off")


async def test_streams_that_break_off_are_told() -> None:
    with pytest.raises(UnavailableError, match="cut off"):
        await carry(Client(), Broken(), PLAN)
