import random

import pytest

from cli.swarmd.agent_line import Overheard, by_log, by_trying
from common.errors import NoLeaderError, UnavailableError
from common.model.node import Role
from common.protocol.channel import Channel, local_channel
from common.protocol.messages import (
    HeartbeatTaken,
    Message,
    NodeTold,
    SessionOpened,
    SessionRefused,
)
from manager.raft.peers import Peer

LEADER = Peer(member_id="b", node_id="n", address="b:2377")


class Manager:
    def __init__(self, *, leads: bool, leader: Peer | None) -> None:
        self.leads, self._leader = leads, leader

    def leader(self) -> Peer:
        if self._leader is None:
            raise NoLeaderError
        return self._leader


class Network:
    def __init__(self, *up: str) -> None:
        self.up = up
        self.dialled: list[str] = []

    async def dial(self, address: str) -> Channel:
        self.dialled.append(address)
        if address not in self.up:
            raise OSError("refused")
        return local_channel()[0]


async def test_a_leaders_own_agent_stays_in_the_process() -> None:
    network, (ours, _) = Network(), local_channel()
    manager = Manager(leads=True, leader=LEADER)
    assert await by_log(manager, lambda: ours, network.dial) is ours
    assert network.dialled == []


async def test_a_followers_agent_dials_the_leader() -> None:
    network = Network("b:2377")
    await by_log(Manager(leads=False, leader=LEADER), lambda: local_channel()[0], network.dial)
    assert network.dialled == ["b:2377"]


async def test_without_a_leader_nobody_is_dialled() -> None:
    network = Network("b:2377")
    with pytest.raises(NoLeaderError):
        await by_log(Manager(leads=False, leader=None), lambda: local_channel()[0], network.dial)
    assert network.dialled == []


async def test_a_worker_tries_all_managers_it_knows() -> None:
    network = Network("c")
    await by_trying(("a", "b", "c"), network.dial, random.Random(1))
    assert network.dialled[-1] == "c"
    network = Network()
    with pytest.raises(UnavailableError, match="refused"):
        await by_trying(("a", "b", "c"), network.dial, random.Random(1))
    assert sorted(network.dialled) == ["a", "b", "c"]


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
    overheard = Overheard(ours, managers.append, unwanted.append, told.append)
    messages: list[Message] = [OPENED, TOLD, TAKEN, UNTOLD, NOT_NOW, NEVER]
    for message in messages:
        await theirs.send(message)
        assert await overheard.receive() == message
    assert managers == [("a", "b"), ("c",)]
    assert unwanted == ["not part of this swarm"]
    assert told == [TOLD]
