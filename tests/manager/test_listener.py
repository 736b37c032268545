"""Who may ask the cluster listener for what, and how much anybody may take of it."""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import manager.listener as module
from common.errors import ForbiddenError, SystemFailureError
from common.model.node import Role
from common.pki.contexts import client_context, load_identity
from common.pki.files import NodeFiles
from common.pki.identity import MANAGER_NAME, PeerIdentity
from manager.listener import Access, Caller, ClusterListener, ClusterRoute, read_json_body
from tests.support.fake_clock import FakeClock
from tests.support.pki import CLUSTER_ID, DECADES, NOW, credentials, files_of, identity, root_of
from tests.support.tls_streams import MANAGER, WORKER, client_of

callers: list[Caller] = []


async def say(_request: web.Request, caller: Caller) -> web.Response:
    callers.append(caller)
    return web.Response(text="said")


async def read(request: web.Request, _caller: Caller) -> web.Response:
    return web.json_response(await read_json_body(request))


async def broken(_request: web.Request, _caller: Caller) -> web.Response:
    raise RuntimeError("a secret")


ROUTES = [
    ClusterRoute(method="GET", path="/ca/root", access=Access.ANYONE, handler=say),
    ClusterRoute(method="POST", path="/ca/certificate", access=Access.ANYONE, handler=read),
    ClusterRoute(method="POST", path="/dispatch", access=Access.NODE, handler=say),
    ClusterRoute(method="POST", path="/raft", access=Access.MANAGER, handler=say),
    ClusterRoute(method="POST", path="/raft/join", access=Access.MANAGER, handler=say),
    ClusterRoute(method="GET", path="/broken", access=Access.MANAGER, handler=broken),
]


@pytest.fixture
async def listener(tmp_path: Path) -> AsyncIterator[ClusterListener]:
    context = files_of(tmp_path, MANAGER).server_context()
    async with ClusterListener("127.0.0.1:0", lambda: context, CLUSTER_ID, ROUTES) as made:
        yield made


async def ask(
    listener: ClusterListener, context: ssl.SSLContext, method: str, path: str, **more: Any
) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.request(
            method,
            f"https://127.0.0.1:{listener.port}{path}",
            ssl=context,
            server_hostname=MANAGER_NAME,
            **more,
        ) as response,
    ):
        return response.status, await response.text()


OTHER_CLUSTER = identity("manager1", cluster_id="cluster2")
STATUSES: dict[str, tuple[PeerIdentity | None, str, str, int]] = {
    "nobody sees the root": (None, "GET", "/ca/root", 200),
    "nobody asks for a certificate": (None, "POST", "/ca/certificate", 400),
    "nobody dispatches": (None, "POST", "/dispatch", 401),
    "nobody links": (None, "POST", "/raft", 401),
    "nobody joins": (None, "POST", "/raft/join", 401),
    "nobody learns what there is not": (None, "GET", "/nothing", 401),
    "nobody learns what another method does": (None, "GET", "/raft", 401),
    "a worker dispatches": (WORKER, "POST", "/dispatch", 200),
    "a worker does not link": (WORKER, "POST", "/raft", 403),
    "a worker does not join managers": (WORKER, "POST", "/raft/join", 403),
    "a worker learns what there is not": (WORKER, "GET", "/nothing", 404),
    "a manager links": (MANAGER, "POST", "/raft", 200),
    "a manager dispatches": (MANAGER, "POST", "/dispatch", 200),
    "a manager of another cluster does not link": (OTHER_CLUSTER, "POST", "/raft", 403),
    "a manager of another cluster does not dispatch": (OTHER_CLUSTER, "POST", "/dispatch", 403),
    "a path is what it is": (WORKER, "POST", "/raft/../dispatch", 200),
    "a path with more is another": (WORKER, "POST", "/raft/", 404),
}


@pytest.mark.parametrize(("who", "method", "path", "status"), STATUSES.values(), ids=STATUSES)
async def test_a_role_is_required_per_path(
    listener: ClusterListener,
    tmp_path: Path,
    who: PeerIdentity | None,
    method: str,
    path: str,
    status: int,
) -> None:
    assert (await ask(listener, client_of(tmp_path, who), method, path))[0] == status


async def test_a_handler_knows_who_asks(listener: ClusterListener, tmp_path: Path) -> None:
    callers.clear()
    await ask(listener, client_of(tmp_path, WORKER), "POST", "/dispatch")
    await ask(listener, client_of(tmp_path, None), "GET", "/ca/root")
    assert callers == [
        Caller(peer=WORKER, address="127.0.0.1"),
        Caller(peer=None, address="127.0.0.1"),
    ]


async def refused(listener: ClusterListener, context: ssl.SSLContext) -> str:
    """What the client learns, whose TLS is not to come about."""
    with pytest.raises((aiohttp.ClientError, ssl.SSLError, OSError)) as told:
        await ask(listener, context, "POST", "/dispatch")
    return str(told.value).lower()


def _expired(directory: Path) -> ssl.SSLContext:
    long_ago = NOW - 400 * 24 * 3600.0
    files = NodeFiles(directory / "expired")
    files.write(credentials(MANAGER, now=long_ago, lifetime_seconds=90 * 24 * 3600.0))
    return files.client_context()


def _older(directory: Path) -> ssl.SSLContext:
    context = client_of(directory, MANAGER)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


NOT_LET_IN = {
    "a certificate of another root": (
        lambda directory: client_of(directory, MANAGER, root_of("another")),
        "certificate verify failed",
    ),
    "an expired certificate": (_expired, "certificate has expired"),
    "an older TLS": (_older, "UNSUPPORTED_PROTOCOL"),
}


@pytest.mark.parametrize(("context_of", "reason"), NOT_LET_IN.values(), ids=NOT_LET_IN)
async def test_the_handshake_is_refused(
    listener: ClusterListener,
    tmp_path: Path,
    context_of: Callable[[Path], ssl.SSLContext],
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    callers.clear()
    caplog.set_level(logging.INFO)
    await refused(listener, context_of(tmp_path))
    told = [str(vars(record)["reason"]) for record in caplog.records if "not let in" in record.msg]
    assert len(told) == 1
    assert reason in told[0]
    assert callers == []


async def test_a_client_of_another_root_does_not_talk_to_us(
    listener: ClusterListener, tmp_path: Path
) -> None:
    context = client_context(root_of("another").certificate)
    assert "certificate" in await refused(listener, context)


async def test_no_session_is_resumed(listener: ClusterListener, tmp_path: Path) -> None:
    context = client_of(tmp_path, WORKER)
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", listener.port, ssl=context, server_hostname=MANAGER_NAME
    )
    writer.write(b"POST /dispatch HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    assert b"200" in await reader.readline()
    tls = writer.get_extra_info("ssl_object")
    assert tls.version() == "TLSv1.3"
    assert tls.session is None or not tls.session.has_ticket
    writer.close()


async def test_the_cluster_may_know_better_than_a_certificate(tmp_path: Path) -> None:
    def vouch(peer: PeerIdentity, access: Access) -> None:
        if access is Access.MANAGER:
            raise ForbiddenError(f"node {peer.node_id} is no manager any more")

    context = files_of(tmp_path, MANAGER).server_context()
    async with ClusterListener(
        "127.0.0.1:0", lambda: context, CLUSTER_ID, ROUTES, vouch=vouch
    ) as listener:
        client = client_of(tmp_path, MANAGER)
        assert (await ask(listener, client, "POST", "/dispatch"))[0] == 200
        status, text = await ask(listener, client, "POST", "/raft")
    assert (status, "no manager any more" in text) == (403, True)


async def test_a_certificate_that_has_run_out_since_the_connection_was_made_counts_no_more(
    tmp_path: Path,
) -> None:
    context = files_of(tmp_path, MANAGER).server_context()
    clock = FakeClock(NOW + DECADES)
    async with ClusterListener(
        "127.0.0.1:0", lambda: context, CLUSTER_ID, ROUTES, clock=clock
    ) as listener:
        status, text = await ask(listener, client_of(tmp_path, MANAGER), "POST", "/dispatch")
    assert (status, "has run out" in text) == (401, True)


async def test_another_certificate_is_shown_from_then_on(tmp_path: Path) -> None:
    files = files_of(tmp_path, MANAGER)
    context = files.server_context()
    async with ClusterListener("127.0.0.1:0", lambda: context, CLUSTER_ID, ROUTES) as listener:
        files.write(credentials(identity("manager1", Role.WORKER)))
        load_identity(context, files.certificate, files.key)
        with pytest.raises(aiohttp.ClientConnectorCertificateError, match="swarm-manager"):
            await ask(listener, client_of(tmp_path, WORKER), "POST", "/dispatch")


async def test_what_breaks_is_not_told(
    listener: ClusterListener, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    status, text = await ask(listener, client_of(tmp_path, MANAGER), "GET", "/broken")
    assert status == 500
    assert "secret" not in text
    assert "RuntimeError: a secret" in caplog.text


async def test_a_taken_address_is_said_to_be(listener: ClusterListener, tmp_path: Path) -> None:
    context = files_of(tmp_path, MANAGER).server_context()
    taken = f"127.0.0.1:{listener.port}"
    with pytest.raises(SystemFailureError, match="in use"):
        async with ClusterListener(taken, lambda: context, CLUSTER_ID, []):
            pass


# -------------------------------------------------------------------------------- how much of it


async def test_a_large_body_is_refused(listener: ClusterListener, tmp_path: Path) -> None:
    body = b"[" + b"1," * 200_000 + b"1]"
    status, _ = await ask(listener, client_of(tmp_path, None), "POST", "/ca/certificate", data=body)
    assert status == 413


async def test_a_body_that_is_not_json_is_refused(
    listener: ClusterListener, tmp_path: Path
) -> None:
    context = client_of(tmp_path, None)
    for body in (b"\x80\x04]q.", b"{", b"[" * 100_000):
        answer = await ask(listener, context, "POST", "/ca/certificate", data=body)
        assert answer == (400, '{"message":"the request\'s body is not JSON"}\n')


async def test_a_large_header_is_refused(listener: ClusterListener, tmp_path: Path) -> None:
    many = {f"X-{number}": "y" for number in range(100)}
    for headers in ({"X-Large": "y" * 10_000}, many):
        status, _ = await ask(
            listener, client_of(tmp_path, None), "GET", "/ca/root", headers=headers
        )
        assert status == 400


async def ended(reader: asyncio.StreamReader) -> bool:
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionError):
            return await reader.read(1) == b""
    return True


async def test_a_body_that_does_not_come_is_not_waited_for(
    listener: ClusterListener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REQUEST_SECONDS_MAX", 0.01)
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", listener.port, ssl=client_of(tmp_path, None), server_hostname=MANAGER_NAME
    )
    writer.write(b"POST /ca/certificate HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    assert b"408" in await reader.readline()
    writer.transport.abort()


@pytest.mark.parametrize("beginning", [b"", b"POST /dispatch HTTP/1.1\r\nHost:"], ids=repr)
async def test_whoever_says_nothing_or_half_of_it_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beginning: bytes
) -> None:
    monkeypatch.setattr(module, "KEEPALIVE_SECONDS", 0.1)
    context = files_of(tmp_path, MANAGER).server_context()
    async with ClusterListener("127.0.0.1:0", lambda: context, CLUSTER_ID, ROUTES) as listener:
        reader, writer = await connected(listener, client_of(tmp_path, WORKER))
        writer.write(beginning)
        assert await ended(reader)
        writer.transport.abort()


async def test_whoever_only_connects_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slowloris on the handshake: nobody waits for it, and others are let in meanwhile."""
    monkeypatch.setattr(module, "HANDSHAKE_SECONDS", 0.3)
    context = files_of(tmp_path, MANAGER).server_context()
    async with ClusterListener("127.0.0.1:0", lambda: context, CLUSTER_ID, ROUTES) as listener:
        slow = [await asyncio.open_connection("127.0.0.1", listener.port) for _ in range(20)]
        for _, writer in slow:
            writer.write(b"\x16\x03\x01")  # the beginning of a hello, and no more
        client = client_of(tmp_path, WORKER)
        assert (await ask(listener, client, "POST", "/dispatch"))[0] == 200
        assert all([await ended(reader) for reader, _ in slow])
        for _, writer in slow:
            writer.transport.abort()


async def test_one_address_cannot_hold_all_handshakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HANDSHAKES_PER_ADDRESS_MAX", 4)
    context = files_of(tmp_path, MANAGER).server_context()
    async with ClusterListener("127.0.0.1:0", lambda: context, CLUSTER_ID, ROUTES) as listener:
        opened = [await asyncio.open_connection("127.0.0.1", listener.port) for _ in range(6)]
        assert [await ended(reader) for reader, _ in opened[4:]] == [True, True]
        for _, writer in opened:
            writer.transport.abort()


async def connected(
    listener: ClusterListener, context: ssl.SSLContext
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(
        "127.0.0.1", listener.port, ssl=context, server_hostname=MANAGER_NAME
    )


async def lives(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    with contextlib.suppress(ConnectionError):
        writer.write(b"GET /ca/root HTTP/1.1\r\nHost: x\r\n\r\n")
        return b"200" in await reader.readline()
    return False


async def test_strangers_do_not_take_the_places_of_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STRANGERS_MAX", 3)
    context = files_of(tmp_path, MANAGER).server_context()
    stranger, node = client_of(tmp_path, None), client_of(tmp_path, WORKER)
    async with ClusterListener("127.0.0.1:0", lambda: context, CLUSTER_ID, ROUTES) as listener:
        opened = [await connected(listener, stranger) for _ in range(3)]
        assert [await lives(*one) for one in opened] == [True, True, True]
        surplus = await connected(listener, stranger)
        assert not await lives(*surplus)
        ours = await connected(listener, node)
        assert await lives(*ours)

        opened[0][1].transport.abort()
        async with asyncio.timeout(10):
            while not await lives(*(again := await connected(listener, stranger))):
                again[1].transport.abort()
        for _, writer in [*opened, surplus, ours, again]:
            writer.transport.abort()


async def test_one_node_has_a_few_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECTIONS_PER_NODE_MAX", 2)
    context = files_of(tmp_path, MANAGER).server_context()
    one, other = client_of(tmp_path, WORKER), client_of(tmp_path, MANAGER)
    async with ClusterListener("127.0.0.1:0", lambda: context, CLUSTER_ID, ROUTES) as listener:
        opened = [await connected(listener, one) for _ in range(3)]
        assert [await lives(*each) for each in opened] == [True, True, False]
        opened.append(await connected(listener, other))
        assert await lives(*opened[-1])
        for _, writer in opened:
            writer.transport.abort()


async def test_a_thousand_connections_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many come, one after another; no more than the bound are ever held."""
    monkeypatch.setattr(module, "CONNECTIONS_MAX", 10)
    monkeypatch.setattr(module, "HANDSHAKES_MAX", 5)
    context = files_of(tmp_path, MANAGER).server_context()
    async with ClusterListener("127.0.0.1:0", lambda: context, CLUSTER_ID, ROUTES) as listener:
        held, most = [], 0
        for number in range(1_000):
            held.append(await asyncio.open_connection("127.0.0.1", listener.port))
            if len(held) > 50:
                held.pop(0)[1].transport.abort()
            if number % 100 == 0:
                most = max(most, len(listener._keeper._tasks))
        assert most <= 5 + 1  # handshakes under way, and the one who accepts
        for _, writer in held:
            writer.transport.abort()


async def test_a_replayed_conversation_is_refused(
    listener: ClusterListener, tmp_path: Path
) -> None:
    """Whoever recorded every byte that a manager sent, and sends them again, gets nowhere."""
    callers.clear()
    recorded = bytearray()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", listener.port)

        async def copy(
            source: asyncio.StreamReader, sink: asyncio.StreamWriter, into: bytearray
        ) -> None:
            while data := await source.read(65536):
                into += data
                sink.write(data)
            sink.close()

        await asyncio.gather(copy(reader, there[1], recorded), copy(there[0], writer, bytearray()))

    async with await asyncio.start_server(relay, "127.0.0.1", 0) as between:
        port = between.sockets[0].getsockname()[1]
        context = client_of(tmp_path, MANAGER)
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname=MANAGER_NAME
        )
        writer.write(
            b"POST /raft HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        assert b"200" in await reader.readline()
        await reader.read()
        writer.close()
        await writer.wait_closed()
    assert len(callers) == 1

    again = await asyncio.open_connection("127.0.0.1", listener.port)
    again[1].write(bytes(recorded))
    assert b"said" not in await again[0].read()
    again[1].close()
    assert len(callers) == 1


async def test_what_has_ended_is_not_remembered(listener: ClusterListener, tmp_path: Path) -> None:
    for who in (WORKER, None, MANAGER):
        context = client_of(tmp_path, who)
        for _ in range(5):
            await ask(listener, context, "GET", "/ca/root")
    ours = client_of(tmp_path, identity("node9"))
    async with asyncio.timeout(10):
        while True:
            listener._places._look_through_at = 0
            reader, writer = await connected(listener, ours)
            assert await lives(reader, writer)
            held = {holder: len(each) for holder, each in listener._places._held.items()}
            writer.transport.abort()
            if held == {"node node9": 1}:
                break
