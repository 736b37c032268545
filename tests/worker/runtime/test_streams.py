"""Our ends of streams: over pipes and terminals, and as frames from a supervisor of a few lines."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from common.errors import NotFoundError, UnavailableError
from tests.support.supervisor_loop import open_descriptors
from worker.runtime import wire
from worker.runtime.streams import LINGER_SECONDS, WAITING_MAX, AttachedStreams, ProcessStreams

BIG = b"x" * (1 << 20)


# -- of a further process --------------------------------------------------------------------------


async def test_both_outputs_are_read_until_both_have_ended() -> None:
    before = open_descriptors()
    (out, their_out), (err, their_err) = os.pipe(), os.pipe()
    streams = ProcessStreams(-1, {out: 1, err: 2})
    os.write(their_out, b"a" * 65536)
    os.write(their_err, b"b")
    assert {await streams.read(), await streams.read()} == {(1, b"a" * 65536), (2, b"b")}
    os.close(their_out)
    os.write(their_err, b"c")
    assert await streams.read() == (2, b"c")
    os.close(their_err)
    assert await streams.read() is None
    streams.close()
    assert open_descriptors() == before


async def test_input_waits_until_it_is_read_and_then_ends() -> None:
    stdin, writing = os.pipe()
    streams = ProcessStreams(writing, {})
    async with asyncio.TaskGroup() as group:
        giving = group.create_task(streams.write(BIG))
        await asyncio.sleep(0)
        assert not giving.done()
        os.set_blocking(stdin, False)
        taken = 0
        while taken < len(BIG):
            with contextlib.suppress(BlockingIOError):
                taken += len(os.read(stdin, 65536))
            await asyncio.sleep(0)
    await streams.close_input()
    await streams.close_input()
    assert os.read(stdin, 1) == b""
    await streams.write(b"nobody")
    os.close(stdin)
    streams.close()


async def test_input_that_nobody_can_read_is_dropped() -> None:
    stdin, writing = os.pipe()
    streams = ProcessStreams(writing, {})
    os.close(stdin)
    await streams.write(BIG)
    streams.close()


@pytest.mark.parametrize("how", ["close", "close_input"])
async def test_who_waits_is_woken_when_it_is_closed(how: str) -> None:
    """And takes no hand off a descriptor that has the closed one's number by then."""
    before = open_descriptors()
    (stdin, writing), (out, their_out) = os.pipe(), os.pipe()
    streams = ProcessStreams(writing, {out: 1})
    async with asyncio.TaskGroup() as group:
        giving = group.create_task(streams.write(BIG))
        reading = group.create_task(streams.read()) if how == "close" else None
        for _ in range(3):
            await asyncio.sleep(0)
        if reading is not None:
            streams.close()
        else:
            await streams.close_input()
        other, their_other = os.pipe()
        heard = asyncio.Event()
        asyncio.get_running_loop().add_reader(other, heard.set)
        os.write(their_other, b"x")
        await asyncio.wait_for(heard.wait(), 5)
        asyncio.get_running_loop().remove_reader(other)
    assert giving.done()
    assert reading is None or reading.result() is None
    streams.close()
    streams.close()
    for fd in (stdin, their_out, other, their_other):
        os.close(fd)
    assert open_descriptors() == before


async def test_a_terminal_is_read_written_and_sized_by_one_descriptor() -> None:
    before = open_descriptors()
    master, slave = os.openpty()
    streams = ProcessStreams(master, {master: 1}, is_terminal=True)
    await streams.resize(30, 40)
    assert os.get_terminal_size(slave) == (40, 30)
    await streams.write(b"hi\n")
    assert os.read(slave, 10) == b"hi\n"
    await streams.close_input()
    assert await streams.read() == (1, b"hi\r\n")
    os.close(slave)
    assert await streams.read() is None
    streams.close()
    assert open_descriptors() == before


# -- attached --------------------------------------------------------------------------------------


@asynccontextmanager
async def attached() -> AsyncIterator[tuple[AttachedStreams, socket.socket]]:
    """Streams, and the supervisor's end of their connection."""
    ours, theirs = socket.socketpair()
    os.set_blocking(ours.fileno(), False)
    os.set_blocking(theirs.fileno(), False)
    _, streams = await asyncio.get_running_loop().create_unix_connection(AttachedStreams, sock=ours)
    try:
        yield streams, theirs
    finally:
        streams.close()
        theirs.close()
        await asyncio.sleep(0)


async def test_pieces_come_in_order_and_end() -> None:
    async with attached() as (streams, theirs):
        theirs.send(wire.encode_frame((wire.STDOUT, b"a")) + wire.encode_frame((wire.STDERR, b"b")))
        theirs.send(wire.encode_frame((wire.END, b"")))
        assert [await streams.read() for _ in range(3)] == [(1, b"a"), (2, b"b"), None]
        theirs.close()
        assert await streams.read() is None


async def test_a_connection_that_breaks_is_no_end() -> None:
    async with attached() as (streams, theirs):
        theirs.send(wire.encode_frame((wire.STDOUT, b"a")))
        theirs.close()
        assert await streams.read() == (1, b"a")
        with pytest.raises(UnavailableError, match="broke off"):
            await streams.read()
        await streams.write(b"dropped")


async def test_nonsense_is_no_end_either() -> None:
    async with attached() as (streams, theirs):
        theirs.send(wire.encode_frame("nonsense"))
        with pytest.raises(UnavailableError):
            await streams.read()


async def test_no_more_is_taken_in_than_a_reader_has_room_for() -> None:
    async with attached() as (streams, theirs):
        frame = wire.encode_frame((wire.STDOUT, b"x" * 65536))
        sent = 0
        for _ in range(200):
            try:
                sent += theirs.send(frame[sent % len(frame) :])
            except BlockingIOError:
                await asyncio.sleep(0)
        assert streams._waiting < WAITING_MAX + 4 * len(frame)
        taken = 0
        while taken < sent // len(frame) * 65536:
            piece = await streams.read()
            assert piece is not None
            taken += len(piece[1])


async def test_a_refusal_is_an_error() -> None:
    async with attached() as (streams, theirs):
        theirs.send(wire.encode_frame((1, "not found", "container a is not running")))
        with pytest.raises(NotFoundError, match="a is not running"):
            await streams.ask(("a", False, True, True))


async def test_what_is_said_to_the_container() -> None:
    async with attached() as (streams, theirs):
        await streams.write(b"in")
        await streams.resize(5, 6)
        await streams.close_input()
        streams.close()
        assert await streams.read() is None
        await asyncio.sleep(0)
        said = wire.FrameReader().feed(theirs.recv(1000))
        assert said == [(wire.INPUT, b"in"), (wire.SIZE, (5, 6)), (wire.INPUT_END, b"")]
        assert theirs.recv(1) == b""


async def test_who_has_left_does_not_wait_for_ever_for_a_container_to_read() -> None:
    async with attached() as (streams, _theirs):
        writing = asyncio.ensure_future(streams.write(BIG * 4))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not writing.done()
        before = asyncio.get_running_loop().time()
        streams.close()
        loop = asyncio.get_running_loop()
        (alarm,) = [one for one in loop._scheduled if not one.cancelled()]  # type: ignore[attr-defined]
        assert alarm.when() == pytest.approx(before + LINGER_SECONDS, abs=1)
        await asyncio.wait_for(writing, 5)
        lost = [streams._is_lost]
        alarm._run()
        await asyncio.sleep(0)
        lost.append(streams._is_lost)
        assert lost == [False, True]
        alarm.cancel()
