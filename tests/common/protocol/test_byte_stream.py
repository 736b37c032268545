"""Bytes both ways over one stream of frames."""

import asyncio
import random

import pytest

from common.errors import UnavailableError
from common.protocol.byte_stream import AHEAD_BYTES_MAX, BOUNDS, PIECE_BYTES_MAX, ByteStream
from tests.support.stream_pairs import stream_pair


async def _pair() -> tuple[ByteStream, ByteStream]:
    one, other = await stream_pair(BOUNDS)
    return ByteStream(one), ByteStream(other)


async def _all_of(stream: ByteStream) -> bytes:
    read = bytearray()
    while piece := await stream.read():
        read += piece
    return bytes(read)


async def test_each_direction_has_an_end_of_its_own() -> None:
    one, other = await _pair()
    await one.write(b"question")
    await one.end()
    assert await _all_of(other) == b"question"
    await other.write(b"answer")
    await other.end()
    assert await _all_of(one) == b"answer"
    one.close()
    other.close()


async def test_much_comes_whole_and_in_order_at_a_reader_that_is_slow() -> None:
    one, other = await _pair()
    sent = random.Random(1).randbytes(8 * AHEAD_BYTES_MAX + 3)

    async def send() -> None:
        await one.write(sent)
        await one.end()

    async with asyncio.TaskGroup() as group:
        group.create_task(send())
        for _ in range(100):
            await asyncio.sleep(0)
        assert await _all_of(other) == sent
    one.close()
    other.close()


async def test_a_writer_waits_for_a_reader_that_takes_nothing() -> None:
    one, other = await _pair()
    writing = asyncio.ensure_future(one.write(bytes(64 * AHEAD_BYTES_MAX)))
    for _ in range(1000):
        await asyncio.sleep(0)
    assert not writing.done()
    assert other._ahead_bytes <= AHEAD_BYTES_MAX + 8 * PIECE_BYTES_MAX
    writing.cancel()
    one.close()
    other.close()
    await asyncio.wait([writing])


async def test_an_end_that_was_not_said_is_an_error_after_all_that_came() -> None:
    one, other = await _pair()
    await one.write(b"half")
    one.close()
    assert await other.read() == b"half"
    with pytest.raises(UnavailableError, match="has broken"):
        await other.read()
    with pytest.raises(UnavailableError, match="has broken"):
        await other.write(b"x")


@pytest.mark.parametrize("frame", [b"\2what", b"\0late"], ids=["no kind", "data behind the end"])
async def test_whoever_says_what_is_not_bytes_is_cut_off(frame: bytes) -> None:
    raw, end = await stream_pair(BOUNDS)
    other = ByteStream(end)
    raw.attach(lambda _: None, ended=lambda _: None)
    raw.send(b"\1")
    raw.send(frame)
    assert await raw.until_ended()
    other.close()
