import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from worker.balancer.places import Places
from worker.balancer.relay import Relay
from worker.balancer.table import Backend
from worker.balancer.tcp_door import TcpDoor


def listening(backlog: int = 16) -> socket.socket:
    opened = socket.socket()
    opened.setblocking(False)  # noqa: FBT003 - the socket's own way
    opened.bind(("127.0.0.1", 0))
    opened.listen(backlog)
    return opened


def backend(listener: socket.socket) -> Backend:
    address, port = listener.getsockname()
    return Backend(address=address, port=port)


def connect(listener: socket.socket) -> socket.socket:
    client = socket.create_connection(listener.getsockname())
    client.setblocking(False)  # noqa: FBT003 - the socket's own way
    return client


@asynccontextmanager
async def door(places: Places) -> AsyncIterator[tuple[TcpDoor, socket.socket]]:
    listener, relay = listening(), Relay()
    opened = TcpDoor([listener], relay, places)
    yield opened, listener
    opened.close()
    relay.close()


async def test_more_clients_than_places_wait_their_turn() -> None:
    loop = asyncio.get_running_loop()
    with listening() as server:
        async with door(Places(1)) as (opened, listener), asyncio.timeout(5):
            opened.lead_to([backend(server)])
            first, second = connect(listener), connect(listener)
            served, _ = await loop.sock_accept(server)
            await asyncio.sleep(0)
            with pytest.raises(BlockingIOError):
                server.accept()
            assert opened.live(backend(server)) == 1
            first.close()
            served.close()
            served, _ = await loop.sock_accept(server)
            served.close()
            second.close()


async def test_without_a_backend_the_client_is_reset_and_its_place_free() -> None:
    async with door(Places(1)) as (_, listener), asyncio.timeout(5):
        for _ in range(3):
            with connect(listener) as client, pytest.raises(ConnectionResetError):
                await asyncio.get_running_loop().sock_recv(client, 1)


async def test_a_client_whose_backend_is_silent_is_let_go_at_the_close() -> None:
    loop = asyncio.get_running_loop()
    with listening(backlog=0) as silent:
        full = [socket.socket() for _ in range(4)]
        for one in full:
            one.setblocking(False)  # noqa: FBT003 - the socket's own way
            one.connect_ex(silent.getsockname())
        async with door(Places(1)) as (opened, listener), asyncio.timeout(2):
            opened.lead_to([backend(silent)])
            client = connect(listener)
            for _ in range(10):
                await asyncio.sleep(0)
            assert opened.live(backend(silent)) == 0
        with client, pytest.raises(ConnectionResetError):
            await loop.sock_recv(client, 1)
        for one in full:
            one.close()
