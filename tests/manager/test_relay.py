"""Sessions passed on by a manager that does not lead, over connections of the loopback."""

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from common.clock import SystemClock
from common.errors import NoLeaderError
from common.model.node import Node, NodeSpec, Role
from common.pki.identity import PeerIdentity
from common.protocol.channel import Channel
from common.protocol.messages import Heartbeat, HeartbeatTaken, Message
from common.protocol.stream import FramedStream, StreamBounds
from common.protocol.tls_channel import AGENT_END, PROTOCOL, TlsChannel, agent_end
from common.protocol.upgrade import Door, UpgradeRefusedError, dial
from manager import relay
from manager.listener import ClusterListener
from manager.raft.peers import Peer, RaftStatus
from manager.relay import FOR, FROM, PASS_ON, DialManager
from manager.routes import DISPATCH, ManagerRoutes
from manager.store.changes import Create
from manager.store.store import Store, memory_store
from tests.support.fake_clock import FakeClock
from tests.support.pki import identity
from tests.support.raft_status import status_of
from tests.support.stream_pairs import no_engine
from tests.support.tls_streams import MANAGER, WORKER, client_of, listening

LEADER = identity("manager2")
TAKEN = HeartbeatTaken(heartbeat_period_seconds=1.0)


@dataclass
class FakeDispatcher:
    """Takes channels and answers what it is told to."""

    served: list[tuple[str, str]] = field(default_factory=list)
    heard: list[Message] = field(default_factory=list)
    channels: list[Channel] = field(default_factory=list)

    async def serve(self, channel: Channel, address: str, node_id: str) -> None:
        self.served.append((node_id, address))
        self.channels.append(channel)
        while True:
            self.heard.append(await channel.receive())
            await channel.send(TAKEN)


@dataclass
class FakeManager:
    store: Store
    leads: bool
    address: str = ""
    dial: DialManager | None = None
    dispatcher: FakeDispatcher = field(default_factory=FakeDispatcher)

    def status(self) -> RaftStatus:
        me = Peer(member_id="a" * 16, node_id=MANAGER.node_id, address="")
        return status_of(me, nodes=frozenset({MANAGER.node_id, LEADER.node_id}))

    @property
    def log(self) -> SimpleNamespace:
        return SimpleNamespace(leader=self.leader() if self.address else None)

    def leader(self) -> Peer:
        if not self.address:
            raise NoLeaderError
        return Peer(member_id="b" * 16, node_id=LEADER.node_id, address=self.address)


class World:
    """A leader and a follower that listen."""

    def __init__(self, directory: Path, store: Store) -> None:
        self.directory, self.store = directory, store
        self.leader = FakeManager(store, leads=True)
        self.follower = FakeManager(store, leads=False)
        self.group = asyncio.TaskGroup()
        self.leader_at = self.follower_at = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator["World"]:
        async with (
            self.group,
            self._listening(self.leader, LEADER, "leader") as leader,
            self._listening(self.follower, MANAGER, "follower") as follower,
        ):
            self.leader_at = self.follower.address = f"127.0.0.1:{leader.port}"
            self.follower_at = f"127.0.0.1:{follower.port}"
            yield self

    @asynccontextmanager
    async def _listening(
        self, manager: FakeManager, who: PeerIdentity, name: str
    ) -> AsyncIterator[ClusterListener]:
        context = client_of(self.directory / f"{name}-client", who)

        async def dial_manager(door: Door, bounds: StreamBounds) -> FramedStream:
            return await dial(door, context, bounds, lambda _: None)

        manager.dial = dial_manager
        routes = ManagerRoutes(cast("Any", manager), self._spawn, SystemClock(), no_engine).routes()
        async with listening(self.directory / name, routes, who) as listener:
            yield listener

    def _spawn(self, work: Coroutine[Any, Any, None]) -> object:
        return self.group.create_task(work)

    async def ask(self, address: str, who: PeerIdentity, **headers: str) -> TlsChannel:
        context = client_of(self.directory / who.node_id, who)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        door = Door(address=address, path=DISPATCH, protocol=PROTOCOL, headers=named)
        return agent_end(await dial(door, context, AGENT_END, lambda _: None))

    async def refusal(self, address: str, who: PeerIdentity, **headers: str) -> int:
        with pytest.raises(UpgradeRefusedError) as refused:
            await self.ask(address, who, **headers)
        return refused.value.status


ON = {PASS_ON: "1"}


@pytest.fixture
async def world(tmp_path: Path) -> World:
    store = memory_store(FakeClock(), random.Random(1))
    await store.propose(
        [
            Create(object=Node(id=WORKER.node_id)),
            Create(object=Node(id="once", spec=NodeSpec(role=Role.WORKER))),
        ]
    )
    return World(tmp_path, store)


async def test_a_session_is_passed_on_with_the_id_of_the_agents_certificate(world: World) -> None:
    async with world.running():
        channel = await world.ask(world.follower_at, WORKER, **ON, **{FOR: "somebody-else"})
        await channel.send(Heartbeat())
        assert await channel.receive() == TAKEN
        assert world.leader.dispatcher.served == [(WORKER.node_id, "127.0.0.1")]
        assert world.leader.dispatcher.heard == [Heartbeat()]
        channel.close()


async def test_the_end_of_either_side_is_that_of_the_other(world: World) -> None:
    async with world.running():
        one = await world.ask(world.follower_at, WORKER, **ON)
        await one.send(Heartbeat())
        await one.receive()
        world.leader.dispatcher.channels[0].close()
        async with asyncio.timeout(5):
            with pytest.raises(Exception, match="gone"):
                await one.receive()


async def test_who_does_not_ask_for_it_is_told_who_leads(world: World) -> None:
    async with world.running():
        assert await world.refusal(world.follower_at, WORKER) == 421
        world.follower.address = ""
        assert await world.refusal(world.follower_at, WORKER, **ON) == 503


async def test_a_leader_that_cannot_be_reached_from_there_either(world: World) -> None:
    async with world.running():
        world.follower.address = "127.0.0.1:1"
        assert await world.refusal(world.follower_at, WORKER, **ON) == 503
        world.follower.address = world.follower_at  # it has led, and knows of no other
        assert await world.refusal(world.follower_at, WORKER, **ON) == 503


async def test_only_managers_may_say_whose_session_it_is(world: World) -> None:
    async with world.running():
        assert await world.refusal(world.leader_at, WORKER, **{FOR: "other"}) == 403
        assert await world.refusal(world.leader_at, identity("once"), **{FOR: "other"}) == 403
        assert world.leader.dispatcher.served == []


async def test_what_a_manager_passes_on_must_be_a_node_at_an_address(world: World) -> None:
    async with world.running():
        for wrong in ({FOR: "a/b"}, {FOR: "x" * 65}, {FOR: "n1", FROM: "nowhere"}):
            assert await world.refusal(world.leader_at, MANAGER, **wrong) == 400
        assert await world.refusal(world.leader_at, MANAGER, **{FOR: ""}) == 400


async def test_so_many_and_no_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "RELAYS_MAX", 1)
    async with world.running():
        channel = await world.ask(world.follower_at, WORKER, **ON)
        assert await world.refusal(world.follower_at, WORKER, **ON) == 503
        channel.close()


async def test_what_the_agent_does_not_take_waits_at_the_leader(world: World) -> None:
    """The manager between them holds what its sockets and two buffers hold, and no more."""
    big = HeartbeatTaken(heartbeat_period_seconds=1.0, managers=("x" * 200_000,))
    async with world.running():
        channel = await world.ask(world.follower_at, WORKER, **ON)
        await channel.send(Heartbeat())
        assert await channel.receive() == TAKEN
        leader = world.leader.dispatcher.channels[0]
        sent = 0
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(_send_many(leader, big, 200))
            await asyncio.sleep(0)
            while sent < 200:
                assert await channel.receive() == big
                sent += 1
            await sending
        channel.close()


async def _send_many(channel: Channel, message: Message, count: int) -> None:
    for _ in range(count):
        await channel.send(message)
