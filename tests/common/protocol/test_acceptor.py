"""Connections are let in as they come, within bounds."""

import asyncio
import logging
import socket
from contextlib import ExitStack

from typing_extensions import override

from common.keeper import Keeper
from common.protocol.acceptor import AcceptBounds, Acceptor, begin_to_listen, bound_tcp

CLIENTS = 20


class Taken(asyncio.Protocol):
    """A connection that was let in."""

    def __init__(self, taken: list["Taken"]) -> None:
        self._taken = taken
        self.transport: asyncio.BaseTransport | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._taken.append(self)


async def let_in(handshakes_max: int, turns: int) -> int:
    """How many of the clients that wait already are let in within so many turns of the loop."""
    taken: list[Taken] = []
    bounds = AcceptBounds(
        connections_max=2 * CLIENTS,
        handshakes_max=handshakes_max,
        handshakes_per_address_max=CLIENTS,
        handshake_seconds=1.0,
    )
    acceptor = Acceptor(lambda: Taken(taken), lambda: len(taken), bounds, logging.getLogger("test"))
    keeper = Keeper()
    with ExitStack() as stack:
        bound = stack.enter_context(bound_tcp("127.0.0.1:0"))
        begin_to_listen(bound)
        for _ in range(CLIENTS):
            stack.enter_context(socket.create_connection(bound.getsockname()))
        await keeper.open()
        keeper.spawn(acceptor.run(bound, None, keeper))
        for _ in range(turns):
            await asyncio.sleep(0)
        found = len(taken)
        for one in taken:
            assert isinstance(one.transport, asyncio.Transport)
            one.transport.abort()
        await keeper.close(None)
        await asyncio.sleep(0)
    return found


async def test_all_that_have_come_are_let_in_together_however_long_a_turn_of_the_loop_takes() -> (
    None
):
    assert await let_in(handshakes_max=CLIENTS, turns=5) == CLIENTS


async def test_no_more_are_let_in_at_a_time_than_may_shake_hands() -> None:
    assert await let_in(handshakes_max=3, turns=3) <= 3
