"""Requests that a header sends to another node."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientPayloadError, web
from aiohttp.test_utils import TestClient, TestServer

from common.engine_api.application import engine_application
from common.engine_api.http import json_response
from common.model.node import Node, NodeDescription, NodeState, NodeStatus
from common.protocol.byte_stream import AHEAD_BYTES_MAX, BOUNDS, ByteStream
from manager.api.elsewhere import NODE, elsewhere
from tests.support.api_client import Client
from tests.support.api_swarm import ApiSwarm
from tests.support.stream_pairs import stream_pair

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nthere"


@asynccontextmanager
async def _client(swarm: ApiSwarm) -> AsyncIterator[Client]:
    """A node whose own engine answers "here"."""

    async def here(_request: web.Request) -> web.Response:
        return json_response("here")

    paths = ("/containers/json", "/services", "/nodes/{id}", "/swarm/init", "/system/df")
    routes = [web.route("*", path, here) for path in paths]
    application = engine_application(routes, server="test", elsewhere=elsewhere(swarm.node))
    async with TestClient(TestServer(application)) as client:
        yield client


async def _add(swarm: ApiSwarm, name: str, state: NodeState = NodeState.READY) -> None:
    await swarm.add(
        Node(
            id=f"id-{name}",
            description=NodeDescription(hostname=name),
            status=NodeStatus(state=state),
        )
    )


async def _far_end(swarm: ApiSwarm, node_id: str) -> ByteStream:
    ours, theirs = await stream_pair(BOUNDS)
    swarm.manager.reaching.streams[node_id] = ByteStream(ours)
    return ByteStream(theirs)


async def _heard(end: ByteStream, until: bytes) -> bytes:
    heard = b""
    while until not in heard:
        piece = await end.read()
        assert piece, heard
        heard += piece
    return heard


async def _ask(
    client: Client, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
) -> tuple[int, str]:
    async with client.request(method, path, headers=headers, data=body) as answer:
        return answer.status, await answer.text()


@pytest.mark.parametrize("name", ["w1", "id-w1"])
async def test_a_request_goes_to_the_node_that_its_header_names(swarm: ApiSwarm, name: str) -> None:
    await _add(swarm, "w1")
    end = await _far_end(swarm, "id-w1")
    async with _client(swarm) as client, asyncio.TaskGroup() as group:
        path = "/v1.44/containers/json?filters=%7B%22name%22:%5B%22a%20b%22%5D%7D"
        asking = group.create_task(
            _ask(client, "GET", path, {NODE: name, "X-Registry-Auth": "e30"})
        )
        heard = await _heard(end, b"\r\n\r\n")
        await end.write(ANSWER)
        await end.end()
        assert await asking == (200, "there")
    lines = heard.decode().splitlines()
    assert lines[0] == f"GET {path} HTTP/1.1"
    assert "Connection: close" in lines
    assert "X-Registry-Auth: e30" in lines
    assert not [line for line in lines if line.lower().startswith(NODE.lower())]


async def test_a_body_goes_along_as_it_was_framed(swarm: ApiSwarm) -> None:
    await _add(swarm, "w1")
    end = await _far_end(swarm, "id-w1")
    async with _client(swarm) as client, asyncio.TaskGroup() as group:
        group.create_task(_ask(client, "POST", "/containers/create", {NODE: "w1"}, b"body"))
        heard = await _heard(end, b"\r\n\r\nbody")
        assert b"Content-Length: 4\r\n" in heard
        await end.write(ANSWER)
        await end.end()


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/containers/json", {}),
        ("/containers/json", {NODE: "self"}),
        ("/containers/json", {NODE: "node-1"}),
        ("/services", {NODE: "w1"}),
        ("/nodes/containers", {NODE: "w1"}),
        ("/swarm/init", {NODE: "w1"}),
    ],
)
async def test_what_is_this_nodes_or_the_clusters_is_answered_here(
    swarm: ApiSwarm, path: str, headers: dict[str, str]
) -> None:
    await _add(swarm, "w1")
    headers = {name: value.replace("node-1", swarm.node.node_id) for name, value in headers.items()}
    async with _client(swarm) as client:
        assert await _ask(client, "GET", path, headers) == (200, '"here"\n')


@pytest.mark.parametrize(
    ("name", "status", "text"),
    [
        ("nobody", 404, "node nobody not found"),
        ("dead", 503, "node dead is down"),
        ("w1", 503, "node id-w1 is not available"),
    ],
)
async def test_a_node_that_cannot_be_reached_is_told_of(
    swarm: ApiSwarm, name: str, status: int, text: str
) -> None:
    await _add(swarm, "w1")
    await _add(swarm, "dead", NodeState.DOWN)
    async with _client(swarm) as client:
        found, body = await _ask(client, "GET", "/containers/json", {NODE: name})
    assert (found, text in body) == (status, True)


async def test_a_worker_hands_nothing_on(outside: ApiSwarm) -> None:
    async with _client(outside) as client:
        status, body = await _ask(client, "GET", "/containers/json", {NODE: "w1"})
    assert status == 503
    assert "This node is not a swarm manager" in body


async def test_a_node_that_is_lost_in_the_midst_of_its_answer_ends_the_connection(
    swarm: ApiSwarm,
) -> None:
    await _add(swarm, "w1")
    end = await _far_end(swarm, "id-w1")
    async with _client(swarm) as client:
        asking = asyncio.ensure_future(_ask(client, "GET", "/containers/json", {NODE: "w1"}))
        await _heard(end, b"\r\n\r\n")
        await end.write(ANSWER.replace(b"5", b"50"))
        end.close()
        with pytest.raises(ClientPayloadError):
            await asking


async def test_a_body_that_was_decoded_on_the_way_goes_along_with_no_length_of_its_own(
    swarm: ApiSwarm,
) -> None:
    await _add(swarm, "w1")
    end = await _far_end(swarm, "id-w1")
    body = b"A" * 10_000
    headers = {NODE: "w1", "Content-Encoding": "gzip"}
    async with _client(swarm) as client, asyncio.TaskGroup() as group:
        packed = gzip.compress(body)
        group.create_task(_ask(client, "POST", "/containers/create", headers, packed))
        head, _, rest = (await _heard(end, b"0\r\n\r\n")).partition(b"\r\n\r\n")
        await end.write(ANSWER)
        await end.end()
    names = [line.partition(":")[0].lower() for line in head.decode().splitlines()[1:]]
    assert "transfer-encoding" in names
    assert not {"content-length", "content-encoding"} & set(names)
    assert rest.count(b"A") == len(body)


async def test_a_node_that_answers_before_it_has_all_of_a_body_is_heard(swarm: ApiSwarm) -> None:
    await _add(swarm, "w1")
    end = await _far_end(swarm, "id-w1")
    goes_on = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await goes_on.wait()
        for _ in range(64):
            yield bytes(64 * 1024)

    async with _client(swarm) as client:
        request = client.post("/containers/create", headers={NODE: "w1"}, data=body())
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            asking = group.create_task(request.__aenter__())
            await _heard(end, b"first")
            await end.write(ANSWER.replace(b"200 OK", b"404 Not Found"))
            await end.end()
            end.close()
            goes_on.set()
            answer = await asking
        assert answer.status == 404
        answer.close()


async def test_what_a_node_said_last_arrives_though_it_takes_no_more(swarm: ApiSwarm) -> None:
    """A process has ended, and whoever speaks to it has not heard of that yet."""
    await _add(swarm, "w1")
    end = await _far_end(swarm, "id-w1")
    async with _client(swarm) as client:
        reader, writer = await asyncio.open_connection(client.server.host, client.server.port)
        writer.write(
            f"POST /containers/json HTTP/1.1\r\nHost: x\r\n{NODE}: w1\r\nUpgrade: tcp\r\n"
            "Connection: Upgrade\r\n\r\n".encode()
        )
        await _heard(end, b"\r\n\r\n")
        said = bytes(3 * AHEAD_BYTES_MAX // 4)
        await end.write(said)
        await end.end()
        end.close()
        writer.write(bytes(AHEAD_BYTES_MAX))
        async with asyncio.timeout(10):
            assert await reader.read(-1) == said
        writer.close()
