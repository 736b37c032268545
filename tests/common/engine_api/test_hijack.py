"""Raw connections over unix sockets, TCP and TLS, with clients that write every byte themselves."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path

import pytest
import uvloop
from aiohttp import web

from common.engine_api.hijack import (
    INPUT_BYTES_MAX,
    OUTPUT_BYTES_MAX,
    READ_BYTES,
    Hijacked,
    hijack,
    spoken,
)
from common.engine_api.http import read_json
from tests.support.pki import contexts, files_of, identity

UPGRADE = "Connection: Upgrade\r\nUpgrade: tcp\r\n"
INPUT = b"input" * 200_000
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
Speak = Callable[[Hijacked], Awaitable[None]]


def on_both_loops(test: Callable[[Path], Coroutine[None, None, None]]) -> Callable[..., None]:
    """swarmd runs on uvloop, which shares no code with asyncio."""

    @pytest.mark.parametrize("loop", LOOPS)
    def run(loop: str, tmp_path: Path) -> None:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(test(tmp_path))

    return run


@contextlib.asynccontextmanager
async def served(
    speak: Speak, path: str, context: ssl.SSLContext | None = None
) -> AsyncIterator[web.AppRunner]:
    async def handle(request: web.Request) -> web.StreamResponse:
        body = await read_json(request)
        connection = hijack(request, content_type="application/x")
        if body is not None:
            await connection.write(f"{body}".encode())
        await speak(connection)
        await connection.end()
        return spoken()

    application = web.Application()
    application.router.add_post("/talk", handle)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.UnixSite(runner, path, ssl_context=context).start()
    try:
        yield runner
    finally:
        await runner.cleanup()


async def echo(connection: Hijacked) -> None:
    while data := await connection.read():
        await connection.write(data)
    await connection.write(b"<end>")


def request(headers: str = UPGRADE, body: bytes = b"") -> bytes:
    length = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"POST /talk HTTP/1.1\r\nHost: x\r\n{length}{headers}\r\n".encode() + body


async def head(reader: asyncio.StreamReader) -> str:
    return (await reader.readuntil(b"\r\n\r\n")).decode()


@contextlib.asynccontextmanager
async def dialled(path: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_unix_connection(path)
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@on_both_loops
async def test_an_upgrade_is_answered_with_101_and_the_bytes_are_raw(tmp_path: Path) -> None:
    path = str(tmp_path / "api")
    async with served(echo, path), dialled(path) as (reader, writer):
        writer.write(request())
        assert await head(reader) == (
            "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/x\r\n"
            "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
        )
        writer.write(b"\x00POST /")
        assert await reader.readexactly(7) == b"\x00POST /"
        writer.write_eof()
        assert await reader.read() == b"<end>"


@on_both_loops
async def test_a_client_that_does_not_ask_for_an_upgrade_gets_200(tmp_path: Path) -> None:
    path = str(tmp_path / "api")
    async with served(echo, path), dialled(path) as (reader, writer):
        writer.write(request(headers=""))
        assert await head(reader) == "HTTP/1.1 200 OK\r\nContent-Type: application/x\r\n\r\n"
        writer.write(b"input")
        writer.write_eof()
        assert await reader.read() == b"input<end>"


@on_both_loops
async def test_a_body_goes_before_it(tmp_path: Path) -> None:
    path = str(tmp_path / "api")
    async with served(echo, path), dialled(path) as (reader, writer):
        writer.write(request(body=b'{"Detach": false}')[:-3])
        await asyncio.sleep(0)
        writer.write(b"se}")
        assert "101 UPGRADED" in await head(reader)
        writer.write_eof()
        assert await reader.read() == b"{'Detach': False}<end>"


@on_both_loops
async def test_our_end_comes_before_the_clients(tmp_path: Path) -> None:
    path, gone = str(tmp_path / "api"), asyncio.Event()

    async def speak(connection: Hijacked) -> None:
        await connection.write(b"all")
        await connection.end()
        await connection.until_gone()
        gone.set()

    async with served(speak, path), dialled(path) as (reader, writer):
        writer.write(request())
        await head(reader)
        assert await reader.read() == b"all"
        writer.write(b"too late")
        await writer.drain()
        writer.close()
        await gone.wait()


@on_both_loops
async def test_a_client_that_leaves_is_noticed_by_who_writes_and_by_who_reads(
    tmp_path: Path,
) -> None:
    path, told = str(tmp_path / "api"), asyncio.Event()

    async def speak(connection: Hijacked) -> None:
        assert await connection.read() == b""
        await connection.until_gone()
        with pytest.raises(ConnectionResetError):
            await connection.write(b"x")
        told.set()

    async with served(speak, path):
        async with dialled(path) as (reader, writer):
            writer.write(request())
            await head(reader)
        async with asyncio.timeout(10):
            await told.wait()


@on_both_loops
async def test_a_client_that_leaves_is_noticed_though_nobody_reads_its_input(
    tmp_path: Path,
) -> None:
    path, told = str(tmp_path / "api"), asyncio.Event()

    async def speak(connection: Hijacked) -> None:
        await connection.until_gone()
        told.set()

    async with served(speak, path):
        async with dialled(path) as (reader, writer):
            writer.write(request())
            await head(reader)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    while True:
                        writer.write(bytes(65536))
                        await writer.drain()
            writer.transport.abort()
        async with asyncio.timeout(10):
            await told.wait()


@on_both_loops
async def test_who_is_not_read_waits_and_the_buffers_are_bounded(tmp_path: Path) -> None:
    path, sent = str(tmp_path / "api"), 0
    holding: list[Hijacked] = []

    async def flood(connection: Hijacked) -> None:
        nonlocal sent
        holding.append(connection)
        for _ in range(64):
            await connection.write(bytes(65536))
            sent += 65536

    async with served(flood, path), dialled(path) as (reader, writer):
        writer.write(request())
        await head(reader)
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.05)
        assert sent < 2 * OUTPUT_BYTES_MAX + 1_000_000
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                while True:
                    writer.write(bytes(65536))
                    await writer.drain()
        assert len(holding[0]._input) < 2 * INPUT_BYTES_MAX
        assert len(await reader.read()) == 64 * 65536


@on_both_loops
async def test_a_server_that_stops_ends_it(tmp_path: Path) -> None:
    path = str(tmp_path / "api")
    async with served(echo, path) as runner, dialled(path) as (reader, writer):
        writer.write(request())
        await head(reader)
        runner._shutdown_timeout = 0.1
        await runner.cleanup()
        assert (await reader.read()).replace(b"<end>", b"") == b""


class TlsClient:
    """A TLS connection whose end of input is told, as Go's CloseWrite does, without closing the connection."""

    def __init__(self, path: str, context: ssl.SSLContext, name: str) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(5)
        self._socket.connect(path)

    def write(self, data: bytes) -> None:
        self._drive(lambda: self._tls.write(data))

    def read(self) -> bytes:
        return bytes(self._drive(lambda: self._tls.read(65536)))

    def end_input(self) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            self._tls.unwrap()
        self._flush()

    def close(self) -> None:
        self._socket.close()

    def _flush(self) -> None:
        if data := self._outgoing.read():
            self._socket.sendall(data)

    def _drive(self, step: Callable[[], object]) -> bytes:
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self._flush()
                received = self._socket.recv(65536)
                if not received:
                    return b""
                self._incoming.write(received)
            except ssl.SSLZeroReturnError:
                return b""
            else:
                self._flush()
                return result if isinstance(result, bytes) else b""


@on_both_loops
async def test_tls_goes_on_after_the_end_of_the_clients_input(tmp_path: Path) -> None:
    path = str(tmp_path / "api")
    server_context, client_context = contexts(files_of(tmp_path, identity("n1")))
    client_context.check_hostname = False
    goes_on = asyncio.Event()

    async def speak(connection: Hijacked) -> None:
        data = b""
        while piece := await connection.read():
            data += piece
        await goes_on.wait()
        await connection.write(b"x" * 300_000 + data)

    def talk() -> tuple[bytes, bytes]:
        client = TlsClient(path, client_context, "swarmd-manager")
        client.write(request())
        answer = client.read()
        client.write(INPUT)
        client.end_input()
        loop.call_soon_threadsafe(loop.call_later, 0.05, goes_on.set)
        said = b""
        while piece := client.read():
            said += piece
        client.close()
        return answer, said

    loop = asyncio.get_running_loop()
    async with served(speak, path, server_context):
        answer, said = await asyncio.to_thread(talk)
    assert answer.startswith(b"HTTP/1.1 101 UPGRADED")
    assert said == b"x" * 300_000 + INPUT


@pytest.mark.parametrize("loop", LOOPS)
def test_a_client_that_pauses_loses_nothing_of_the_end(
    loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.engine_api.hijack.LINGER_SECONDS", 0.05)
    path, size = str(tmp_path / "api"), 4 * OUTPUT_BYTES_MAX

    async def much(connection: Hijacked) -> None:
        for _ in range(size // READ_BYTES):
            await connection.write(bytes(READ_BYTES))

    async def pauses_at_the_end() -> None:
        async with served(much, path), dialled(path) as (reader, writer):
            writer.write(request())
            await head(reader)
            got = 0
            while got < size - 2 * OUTPUT_BYTES_MAX:
                got += len(await reader.read(READ_BYTES))
            await asyncio.sleep(0.4)
            assert got + len(await reader.read()) == size

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(pauses_at_the_end())


@on_both_loops
async def test_a_client_that_takes_nothing_any_more_is_let_go(tmp_path: Path) -> None:
    path = str(tmp_path / "api")
    ended = asyncio.Event()

    async def too_much(connection: Hijacked) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                await connection.write(bytes(8 * OUTPUT_BYTES_MAX))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("common.engine_api.hijack.UNTAKEN_SECONDS_MAX", 0.1)
            await connection.end()
        assert connection.is_gone
        ended.set()

    async with served(too_much, path), dialled(path) as (reader, writer):
        writer.write(request())
        await head(reader)
        await ended.wait()
