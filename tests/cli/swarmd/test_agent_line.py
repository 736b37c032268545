import asyncio
import json
import random
from collections.abc import Mapping
from contextlib import suppress

import pytest

from cli.swarmd.agent_line import NEXT_WAY_SECONDS, Line, Overheard
from common.errors import NoLeaderError, UnavailableError
from common.model.node import Role
from common.protocol.channel import Channel, ChannelClosedError, LocalChannel, local_channel
from common.protocol.messages import (
    DialBack,
    HeartbeatTaken,
    Message,
    NodeTold,
    SessionOpened,
    SessionRefused,
)
from common.protocol.upgrade import UpgradeRefusedError
from manager.raft.peers import Peer
from manager.relay import PASS_ON
from tests.support.fake_clock import FakeClock

LEADER = Peer(member_id="b", node_id="n", address="b:2377")


class Manager:
    def __init__(self, *, leads: bool, leader: Peer | None) -> None:
        self.leads, self._leader = leads, leader

    def leader(self) -> Peer:
        if self._leader is None:
            raise NoLeaderError
        return self._leader

    def other_addresses(self) -> tuple[str, ...]:
        return ("b:2377", "c:2377")


class Network:
    """What a node can reach: managers that lead, or name who does, or pass on; and some that never answer."""

    def __init__(
        self, *, leads: str = "", names: str = "", passes: str = "", mute: str = ""
    ) -> None:
        self.leads, self.passes, self.mute = leads.split(), passes.split(), mute.split()
        self.leader_of = dict(one.split(">") for one in names.split())
        self.dialled: list[str] = []
        self.opened: list[LocalChannel] = []
        self.clock = FakeClock()
        self.line = Line(self.dial, self.clock, random.Random(1))

    async def dial(self, address: str, headers: Mapping[str, str]) -> Channel:
        address = address.partition(":")[0]
        self.dialled.append(f"via {address}" if PASS_ON in headers else address)
        if address in self.mute and PASS_ON not in headers:
            await self.clock.sleep(5.0)
            raise UnavailableError(f"{address} does not answer in time")
        if address in self.leads or (address in self.passes and PASS_ON in headers):
            ours, theirs = local_channel()
            self.opened.append(theirs)
            return ours
        if address in self.leader_of:
            raise UpgradeRefusedError(421, json.dumps({"leader": self.leader_of[address]}))
        raise OSError("refused")


async def connect(network: Network, manager: Manager) -> Channel:
    return await network.line.by_log(manager, lambda: local_channel()[0])


async def test_a_leaders_own_agent_stays_in_the_process() -> None:
    network, (ours, _) = Network(), local_channel()
    assert await network.line.by_log(Manager(leads=True, leader=LEADER), lambda: ours) is ours
    assert network.dialled == []


async def test_a_followers_agent_dials_the_leader() -> None:
    network = Network(leads="b")
    await connect(network, Manager(leads=False, leader=LEADER))
    assert network.dialled == ["b"]


async def test_a_follower_that_cannot_dial_the_leader_goes_through_another_manager() -> None:
    network = Network(passes="c")
    await connect(network, Manager(leads=False, leader=LEADER))
    assert network.dialled == ["b", "via c"]


async def test_without_a_leader_nobody_is_dialled() -> None:
    network = Network(leads="b")
    with pytest.raises(NoLeaderError):
        await connect(network, Manager(leads=False, leader=None))
    assert network.dialled == []


async def test_a_worker_tries_all_managers_it_knows() -> None:
    network = Network(leads="c")
    await network.line.by_trying(("a", "b", "c"))
    assert network.dialled[-1] == "c"
    network = Network()
    with pytest.raises(OSError, match="refused"):
        await network.line.by_trying(("a", "b", "c"))
    assert sorted(network.dialled) == ["a", "b", "c"]
    with pytest.raises(UnavailableError, match="no manager of the swarm is known"):
        await network.line.by_trying(())


async def test_a_worker_goes_where_a_manager_says_that_the_leader_is() -> None:
    network = Network(names="a>b", leads="b")
    await network.line.by_trying(("a",))
    assert network.dialled == ["a", "b"]


async def test_a_worker_that_cannot_dial_the_leader_is_passed_on_by_who_has_named_it() -> None:
    network = Network(names="a>b", passes="a")
    await network.line.by_trying(("a",))
    assert network.dialled == ["a", "b", "via a"]


async def test_a_leader_that_does_not_answer_costs_half_a_second() -> None:
    network = Network(names="a>b", passes="a", mute="b")
    async with asyncio.TaskGroup() as group:
        connecting = group.create_task(network.line.by_trying(("a",)))
        await network.clock.advance(NEXT_WAY_SECONDS)
        assert connecting.done()
    assert network.dialled == ["a", "b", "via a"]


async def test_a_way_that_comes_about_too_late_is_closed_again() -> None:
    network = Network(leads="a b")
    dial = network.dial

    async def slowly(address: str, headers: Mapping[str, str]) -> Channel:
        channel = await dial(address, headers)
        with suppress(asyncio.CancelledError):  # as if it had come about in the same moment
            await network.clock.sleep(1.0)
        return channel

    line = Line(slowly, network.clock, random.Random(1))
    async with asyncio.TaskGroup() as group:
        connecting = group.create_task(line.by_trying(("a", "b")))
        await network.clock.advance(1.0)
        channel = await connecting
    first, second = network.opened
    await first.send(OPENED)
    assert await channel.receive() == OPENED
    with pytest.raises(ChannelClosedError):
        await second.receive()


async def test_who_gives_up_leaves_no_channel_behind() -> None:
    network = Network(mute="a b")
    async with asyncio.TaskGroup() as group:
        connecting = group.create_task(network.line.by_trying(("a", "b")))
        await network.clock.advance(1.0)
        connecting.cancel()
    assert len(network.dialled) == 2
    assert network.opened == []


OPENED = SessionOpened(session_id="s", heartbeat_period_seconds=5.0, managers=("a", "b"))
TAKEN = HeartbeatTaken(heartbeat_period_seconds=5.0, managers=("c",))
UNTOLD = HeartbeatTaken(heartbeat_period_seconds=5.0)
NOT_NOW = SessionRefused(reason="this manager does not lead")
TOLD = NodeTold(role=Role.MANAGER, trust=b"roots", issuer=b"key")
NEVER = SessionRefused(reason="not part of this swarm", is_final=True)


async def test_what_is_said_of_the_swarm_is_overheard() -> None:
    ours, theirs = local_channel()
    managers: list[tuple[str, ...]] = []
    unwanted: list[str] = []
    told: list[NodeTold] = []
    called: list[DialBack] = []
    overheard = Overheard(ours, managers.append, unwanted.append, told.append, called.append)
    messages: list[Message] = [OPENED, TOLD, TAKEN, UNTOLD, NOT_NOW, NEVER]
    for message in messages:
        await theirs.send(message)
        assert await overheard.receive() == message
    assert managers == [("a", "b"), ("c",)]
    assert unwanted == ["not part of this swarm"]
    assert told == [TOLD]
