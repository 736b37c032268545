"""Streams both ways over TCP and TLS, against the API's own end of them, and what refuses them."""

import asyncio
import contextlib
import os
import selectors
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import web

from common.engine_api.hijack import Hijacked, hijack, spoken
from common.engine_client import ApiError, CannotConnectError, Client, LostConnectionError
from common.engine_duplex import Duplex
from common.engine_tls import TlsSocket
from tests.support.pki import contexts, files_of, identity, root_of
from tests.support.unix_api import Answer, UnixApi, unix_api

REQUEST = (
    b"POST /talk HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
    b"Content-Length: 0\r\n\r\n"
)
SENT = os.urandom(2 * 1024 * 1024)


async def echo(connection: Hijacked) -> None:
    while data := await connection.read():
        await connection.write(data)
    await connection.write(b"<end>")


@contextlib.asynccontextmanager
async def served(context: ssl.SSLContext | None) -> AsyncIterator[str]:
    async def handle(request: web.Request) -> web.StreamResponse:
        connection = hijack(request, content_type="application/x")
        await echo(connection)
        await connection.end()
        return spoken()

    application = web.Application()
    application.router.add_post("/talk", handle)
    runner = web.AppRunner(application)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listener, ssl_context=context).start()
    try:
        yield f"tcp://localhost:{listener.getsockname()[1]}"
    finally:
        await runner.cleanup()


def talked(client: Client) -> bytes:
    """Sends all and says so, while what comes back is taken."""
    with contextlib.closing(client.converse("/talk")) as duplex:
        return exchanged(duplex, SENT)


def exchanged(duplex: Duplex, sent: bytes) -> bytes:
    received, left, over = bytearray(), memoryview(sent), False
    with selectors.PollSelector() as selector:
        selector.register(duplex, selectors.EVENT_READ | selectors.EVENT_WRITE)
        while True:
            assert selector.select(10), "nothing moves"
            left = left[duplex.send(bytes(left[:100_000])) :]
            if not left and not over:
                over = True
                duplex.end_input()
            if over and not duplex.holds_unsent():
                selector.modify(duplex, selectors.EVENT_READ)
            while (data := duplex.receive()) is not None:
                if not data:
                    return bytes(received)
                received += data


async def test_all_comes_back_though_the_input_has_ended() -> None:
    async with served(None) as host:
        assert await asyncio.to_thread(talked, Client(host, {})) == SENT + b"<end>"


async def test_tls_goes_on_after_the_end_of_the_input(tmp_path: Path) -> None:
    server, client = contexts(files_of(tmp_path, identity("n1")))
    client.check_hostname = False

    def talk(port: int) -> bytes:
        plain = socket.create_connection(("127.0.0.1", port), timeout=10)
        tls = TlsSocket(plain, client, "swarmd-manager")
        tls.sendall(REQUEST)
        with contextlib.closing(Duplex(tls)) as duplex:
            tls.settimeout(10)
            with tls.makefile("rb", buffering=0) as head:
                assert b"101" in head.readline()
                while head.readline() != b"\r\n":
                    pass
            tls.settimeout(0)
            return exchanged(duplex, SENT)

    async with served(server) as host:
        port = int(host.rpartition(":")[2])
        assert await asyncio.to_thread(talk, port) == SENT + b"<end>"


async def test_a_tls_server_that_is_somebody_else_is_refused(tmp_path: Path) -> None:
    server, _ = contexts(files_of(tmp_path / "a", identity("n1")))
    _, client = contexts(files_of(tmp_path / "b", identity("n1"), root_of("theirs")))

    def talk(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            TlsSocket(plain, client, "swarmd-manager")

    async with served(server) as host:
        port = int(host.rpartition(":")[2])
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.to_thread(talk, port)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[UnixApi]:
    with unix_api(tmp_path) as made:
        yield made


def test_a_refusal_is_swarmds(api: UnixApi) -> None:
    api.answer("POST /talk", Answer(status=409, body={"message": "not now"}))
    with pytest.raises(ApiError, match="not now"):
        Client(api.host, {}).converse("/talk")


def test_an_answer_that_keeps_the_connection_is_no_stream(api: UnixApi) -> None:
    api.answer("POST /talk", {"some": "JSON"})
    with pytest.raises(LostConnectionError, match="answers /talk with 200, not with a stream"):
        Client(api.host, {}).converse("/talk")


def test_nobody_there_is_said() -> None:
    with pytest.raises(CannotConnectError, match="Is swarmd running"):
        Client("tcp://127.0.0.1:1", {}).converse("/talk")


def test_what_comes_with_the_head_is_not_lost(api: UnixApi) -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(b"at once")

    api.answer("POST /talk", Answer(talk=talk))
    with contextlib.closing(Client(api.host, {}).converse("/talk")) as duplex:
        assert exchanged(duplex, b"") == b"at once"


def test_a_promise_is_kept_later(api: UnixApi) -> None:
    api.answer("POST /wait", Answer(chunks=[b'{"Status', b'Code": 3}']))
    with Client(api.host, {}).promised("/wait") as ended:
        assert ended() == {"StatusCode": 3}


def test_another_node_is_asked_by_a_header(api: UnixApi) -> None:
    api.answer("GET /x", {})
    client = Client(api.host, {}, stale=True).on_node("n2")
    client.patient(1.0).get("/x")
    headers = api.sent("GET /x").headers
    assert (headers["X-Swarmd-Node"], headers["X-Swarmd-Stale"]) == ("n2", "true")
    assert client.is_elsewhere
