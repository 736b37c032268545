"""Streams over real TLS on the loopback."""

import asyncio
import socket
import ssl
from pathlib import Path

import pytest

from common.errors import ForbiddenError, InvalidInputError, UnavailableError
from common.pki.identity import PeerIdentity
from common.protocol.stream import FramedStream
from common.protocol.upgrade import Door, UpgradeRefusedError, dial, host_and_port
from tests.support.pki import files_of
from tests.support.tls_streams import (
    BOUNDS,
    MANAGER,
    PROTOCOL,
    WORKER,
    accepting,
    client_of,
    dialled,
    listening,
)


class Heard:
    """What one end has heard, and why it ended."""

    def __init__(self, stream: FramedStream) -> None:
        self.stream = stream
        self.frames: list[bytes] = []
        self.ended: list[str] = []
        self._bell = asyncio.Event()
        stream.attach(self._take, ended=self.ended.append)

    def _take(self, frame: bytes) -> None:
        self.frames.append(frame)
        self._bell.set()

    async def until(self, count: int) -> list[bytes]:
        async with asyncio.timeout(10):
            while len(self.frames) < count:
                self._bell.clear()
                await self._bell.wait()
        return self.frames


def echo(stream: FramedStream) -> None:
    def take(frame: bytes) -> None:
        assert stream.send(frame)

    stream.attach(take, ended=lambda _: None)


async def test_frames_go_both_ways_in_order(tmp_path: Path) -> None:
    async with listening(tmp_path, [accepting(echo)]) as listener:
        heard = Heard(await dialled(listener, client_of(tmp_path, WORKER)))
        frames = [bytes([number]) * (number * 29 + 1) for number in range(200)]
        assert all(heard.stream.send(frame) for frame in frames)
        assert await heard.until(200) == frames
        heard.stream.close()
        assert await heard.stream.until_ended() == "closed"
        assert heard.ended == ["closed"]


async def test_both_ends_send_at_once_and_give_up_on_a_dead_machine(tmp_path: Path) -> None:
    ends: list[FramedStream] = []
    async with listening(tmp_path, [accepting(ends.append)]) as listener:
        ends.append(await dialled(listener, client_of(tmp_path, WORKER)))
        for end in ends:
            assert end.transport is not None
            found = end.transport.get_extra_info("socket")
            assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            timeout = found.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            assert timeout == BOUNDS.silence_seconds * 1000
        for end in ends:
            end.abort("seen")
            await end.until_ended()


async def test_what_was_sent_before_closing_still_arrives(tmp_path: Path) -> None:
    arrived: list[Heard] = []
    async with listening(tmp_path, [accepting(lambda s: arrived.append(Heard(s)))]) as listener:
        stream = await dialled(listener, client_of(tmp_path, WORKER))
        stream.attach(lambda _: None, ended=lambda _: None)
        assert stream.send(b"x" * 900_000)
        assert stream.send(b"last")
        stream.close()
        assert not stream.send(b"too late")
        await stream.until_ended()
        assert (await arrived[0].until(2))[1] == b"last"
        await arrived[0].stream.until_ended()


async def test_the_client_knows_whom_it_talks_to_before_it_says_anything(tmp_path: Path) -> None:
    accepted: list[FramedStream] = []
    asked: list[PeerIdentity | None] = []

    def check(peer: PeerIdentity | None) -> None:
        asked.append(peer)
        raise ForbiddenError("not that one")

    async with listening(tmp_path, [accepting(accepted.append)]) as listener:
        door = Door(address=f"127.0.0.1:{listener.port}", path="/stream", protocol=PROTOCOL)
        with pytest.raises(ForbiddenError):
            await dial(door, client_of(tmp_path, WORKER), BOUNDS, check)
    assert asked == [MANAGER]
    assert accepted == []


async def test_a_worker_cannot_answer_as_a_manager(tmp_path: Path) -> None:
    async with listening(tmp_path, [accepting(echo)], server=WORKER) as listener:
        with pytest.raises(ssl.SSLCertVerificationError, match="swarm-manager"):
            await dialled(listener, client_of(tmp_path, WORKER))


async def test_a_refusal_says_why(tmp_path: Path) -> None:
    async with listening(tmp_path, [accepting(echo)]) as listener:
        context = client_of(tmp_path, WORKER)
        with pytest.raises(UpgradeRefusedError, match="streams of test/1") as told:
            await dialled(listener, context, protocol="other/1")
        assert told.value.status == 400
        with pytest.raises(UpgradeRefusedError, match="not found") as told:
            await dialled(listener, context, path="/nothing")
        assert told.value.status == 404


async def test_nobody_there_is_an_os_error(tmp_path: Path) -> None:
    async with listening(tmp_path, []) as listener:
        pass
    with pytest.raises(ConnectionRefusedError):
        await dialled(listener, client_of(tmp_path, WORKER))


async def answered(answer: bytes, client: ssl.SSLContext, server: ssl.SSLContext) -> FramedStream:
    """What becomes of dialling somebody who answers just that and hangs up."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0, ssl=server) as listener:
        port = listener.sockets[0].getsockname()[1]
        door = Door(address=f"127.0.0.1:{port}", path="/stream", protocol=PROTOCOL)
        return await dial(door, client, BOUNDS, lambda peer: None)


NO_ANSWERS = {
    "nothing": (b"", "has closed the connection"),
    "not HTTP": (b"hello\r\n\r\n", "not one of HTTP"),
    "an old HTTP": (b"HTTP/1.0 200 OK\r\n\r\n", "not one of HTTP"),
    "half a head": (b"HTTP/1.1 101 Switching", "has closed the connection"),
    "an endless head": (b"HTTP/1.1 101 S\r\n" + b"X: y\r\n" * 4000, "endless head"),
}


@pytest.mark.parametrize(("answer", "message"), NO_ANSWERS.values(), ids=NO_ANSWERS)
async def test_no_proper_answer_is_an_error(answer: bytes, message: str, tmp_path: Path) -> None:
    server = files_of(tmp_path, MANAGER).server_context()
    with pytest.raises(UnavailableError, match=message):
        await answered(answer, client_of(tmp_path, WORKER), server)


ADDRESSES = {
    "192.0.2.1:2377": ("192.0.2.1", 2377),
    "[2001:db8::1]:2377": ("2001:db8::1", 2377),
    "host:1": ("host", 1),
}


@pytest.mark.parametrize(("text", "expected"), ADDRESSES.items())
def test_reads_addresses(text: str, expected: tuple[str, int]) -> None:
    assert host_and_port(text) == expected


@pytest.mark.parametrize("text", ["", "host", ":2377", "host:", "host:0", "host:65536", "host:²"])
def test_refuses_what_is_no_address(text: str) -> None:
    with pytest.raises(InvalidInputError):
        host_and_port(text)


@pytest.mark.parametrize("host", ["a" * 64, "a..b"])
async def test_an_address_that_no_host_can_have_is_one_that_cannot_be_reached(host: str) -> None:
    door = Door(address=f"{host}:2377", path="/", protocol=PROTOCOL)
    context = ssl.create_default_context()
    with pytest.raises(UnavailableError, match="cannot be the name of a host"):
        await dial(door, context, BOUNDS, lambda _: None)
