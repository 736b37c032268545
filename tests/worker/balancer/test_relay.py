import asyncio
import socket
from typing import Self

from worker.balancer.relay import READ_BYTES, Relay


class Joined:
    """A client and a server, joined."""

    def __init__(self) -> None:
        self.client, self._one = socket.socketpair()
        self.server, self._other = socket.socketpair()
        for end in (self.client, self._one, self.server, self._other):
            end.setblocking(False)  # noqa: FBT003 - the socket's own way
        self._over = asyncio.Event()

    async def __aenter__(self) -> Self:
        self.relay = Relay()
        self.relay.join(self._one, self._other, self._over.set)
        return self

    async def over(self) -> None:
        async with asyncio.timeout(5):
            await self._over.wait()

    async def __aexit__(self, *error: object) -> None:
        self.relay.close()
        self.client.close()
        self.server.close()
        assert self._over.is_set()


async def read_to_end(end: socket.socket) -> bytes:
    loop, data = asyncio.get_running_loop(), b""
    while chunk := await loop.sock_recv(end, 65536):
        data += chunk
    return data


async def fill(end: socket.socket) -> int:
    """Sends until nobody takes any more; says how much."""
    sent = refusals = 0
    while refusals < 1000:
        try:
            sent += end.send(bytes(65536))
            refusals = 0
        except BlockingIOError:
            refusals += 1
            await asyncio.sleep(0)
    return sent


async def test_an_end_of_one_direction_leaves_the_other_open() -> None:
    loop = asyncio.get_running_loop()
    async with Joined() as joined:
        await loop.sock_sendall(joined.client, b"question")
        joined.client.shutdown(socket.SHUT_WR)
        assert await read_to_end(joined.server) == b"question"
        await loop.sock_sendall(joined.server, b"answer")
        joined.server.shutdown(socket.SHUT_WR)
        assert await read_to_end(joined.client) == b"answer"
        await joined.over()


async def test_what_came_before_the_joining_is_passed_on_with_its_end() -> None:
    joined = Joined()
    for end, words in ((joined.client, b"early"), (joined.server, b"banner")):
        end.send(words)
        end.shutdown(socket.SHUT_WR)
    async with joined:
        assert await read_to_end(joined.server) == b"early"
        assert await read_to_end(joined.client) == b"banner"
        await joined.over()


async def test_the_faster_side_waits_for_the_slower() -> None:
    async with Joined() as joined:
        sent = await fill(joined.client)
        assert sent < 20 * 1024 * 1024
        joined.client.shutdown(socket.SHUT_WR)
        assert len(await read_to_end(joined.server)) == sent


async def test_an_end_that_comes_while_much_waits_is_passed_on_after_it() -> None:
    loop = asyncio.get_running_loop()
    async with Joined() as joined:
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(loop.sock_sendall(joined.client, bytes(8 * READ_BYTES)))
            for _ in range(100):
                await asyncio.sleep(0)
            assert not sending.done()
            reading = group.create_task(read_to_end(joined.server))
            await sending
            joined.client.shutdown(socket.SHUT_WR)
        assert len(reading.result()) == 8 * READ_BYTES
        joined.server.close()
        await joined.over()


async def test_closing_ends_what_is_under_way() -> None:
    async with Joined() as joined:
        joined.relay.close()
        assert await read_to_end(joined.client) == b""
        await joined.over()
        joined.relay = Relay()


async def test_when_one_side_goes_the_other_is_let_go() -> None:
    async with Joined() as joined:
        joined.server.close()
        assert await read_to_end(joined.client) == b""
        joined.client.close()
        await joined.over()
