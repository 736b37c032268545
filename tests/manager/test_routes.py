"""Which nodes with a manager's certificate are heard as managers."""

import asyncio
import random
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from common.errors import ForbiddenError
from common.model.cluster import Cluster
from common.model.node import Node, NodeSpec, Role
from common.protocol.channel import Channel, ChannelClosedError, local_channel
from manager.ca.removal import is_removed, removal, with_removed_node
from manager.listener import Access, Caller
from manager.raft.peers import Peer, RaftStatus
from manager.relay import FOR, FROM
from manager.routes import ManagerRoutes
from manager.store.changes import Create
from manager.store.store import Store, memory_store
from tests.support.fake_clock import FakeClock
from tests.support.pki import identity
from tests.support.raft_status import status_of
from tests.support.stream_pairs import no_engine

ME = Peer(member_id="a" * 16, node_id="node-a", address="")
STATUS = status_of(ME, nodes=frozenset({"node-a"}))


@dataclass
class FakeManager:
    store: Store
    raft: RaftStatus = STATUS
    dial: None = None
    leads: bool = False

    def status(self) -> RaftStatus:
        return self.raft


@pytest.fixture
async def manager() -> FakeManager:
    store = memory_store(FakeClock(), random.Random(1))
    worker, other = NodeSpec(role=Role.WORKER), NodeSpec(role=Role.MANAGER)
    await store.propose(
        [
            Create(object=Node(id="node-w", spec=worker)),
            Create(object=Node(id="node-m", spec=other)),
        ]
    )
    return FakeManager(store)


def vouch(manager: FakeManager, node: str) -> None:
    routes = ManagerRoutes(cast("Any", manager), lambda _: None, FakeClock(), no_engine)
    routes.vouch(identity(node), Access.MANAGER)


async def test_a_worker_is_no_manager_though_its_certificate_says_so(manager: FakeManager) -> None:
    """It is refused, but not told that it was removed: this manager may be behind."""
    with pytest.raises(ForbiddenError):
        vouch(manager, "node-w")


async def test_a_manager_or_one_that_is_not_known_yet_is_heard(manager: FakeManager) -> None:
    vouch(manager, "node-m")
    vouch(manager, "node-x")


async def test_one_whose_node_was_removed_is_none(manager: FakeManager) -> None:
    vouch(manager, "node-x")
    removed = with_removed_node(Cluster(id="c"), "node-x", 0.0)
    await manager.store.propose([Create(object=removed)])
    with pytest.raises(ForbiddenError):
        vouch(manager, "node-x")


async def test_one_that_is_to_be_a_worker_is_heard_while_its_vote_counts(
    manager: FakeManager,
) -> None:
    """Its removal may be in this log, and be reversed."""
    manager.raft = replace(STATUS, nodes=frozenset({"node-a", "node-w"}))
    vouch(manager, "node-w")


async def test_one_whose_member_was_removed_is_told_so_where_it_says_its_id(
    manager: FakeManager,
) -> None:
    manager.raft = replace(STATUS, removed_nodes=frozenset({"node-w"}))
    vouch(manager, "node-w")


# ------------------------------------------------------------------------------- speaking for others


@pytest.mark.parametrize(
    ("node", "role", "is_let_on"),
    [
        ("node-m", Role.MANAGER, True),
        ("node-m", Role.WORKER, False),  # its certificate is not a manager's
        ("node-w", Role.MANAGER, False),  # demoted, with a certificate from before
        ("node-x", Role.MANAGER, False),  # unknown: it took its joining back, say
        (
            "node-r",
            Role.MANAGER,
            False,
        ),  # its member was removed: heard on /raft, to be told, and nowhere else
        ("node-a", Role.MANAGER, True),  # a member
    ],
)
async def test_only_present_managers_speak_for_others(
    manager: FakeManager, node: str, role: Role, *, is_let_on: bool
) -> None:
    manager.raft = replace(STATUS, removed_nodes=frozenset({"node-r"}))
    routes = ManagerRoutes(cast("Any", manager), lambda _: None, FakeClock(), no_engine)
    request = cast("Any", SimpleNamespace(headers={FOR: "node-victim", FROM: "10.0.0.9"}))
    caller = Caller(peer=identity(node, role), address="10.0.0.1")
    if is_let_on:
        assert routes._whose_session(request, caller) == ("node-victim", "10.0.0.9")
        return
    with pytest.raises(ForbiddenError):
        routes._whose_session(request, caller)
    manager.leads = True
    with pytest.raises(ForbiddenError):
        await routes._logs(request, caller)


async def test_a_removed_manager_does_not_speak_for_others_though_its_member_is_still_there(
    manager: FakeManager,
) -> None:
    removed = with_removed_node(Cluster(id="c"), "node-a", 0.0)
    await manager.store.propose([Create(object=removed)])
    routes = ManagerRoutes(cast("Any", manager), lambda _: None, FakeClock(), no_engine)
    request = cast("Any", SimpleNamespace(headers={FOR: "node-victim"}))
    with pytest.raises(ForbiddenError):
        routes._whose_session(request, Caller(peer=identity("node-a"), address=""))


async def test_one_that_takes_its_joining_back_is_refused_from_then_on(
    manager: FakeManager,
) -> None:
    await manager.store.propose([Create(object=Cluster(id="c"))])
    await manager.store.propose(removal(manager.store.state.cluster(), "node-m", 0.0))
    assert "node-m" not in manager.store.state.nodes
    assert is_removed(manager.store.state.cluster(), "node-m")
    with pytest.raises(ForbiddenError):
        vouch(manager, "node-m")


# ------------------------------------------------------------------------------------- sessions


class FakeDispatcher:
    """Serves a channel until it ends."""

    async def serve(self, channel: Channel, _address: str, _node_id: str) -> None:
        while True:
            await channel.receive()


async def test_a_session_ends_when_the_certificate_that_it_was_opened_with_has_run_out() -> None:
    clock = FakeClock()
    manager = SimpleNamespace(dispatcher=FakeDispatcher(), dial=None)
    routes = ManagerRoutes(cast("Any", manager), lambda _: None, clock, no_engine)
    ours, theirs = local_channel()
    caller = Caller(peer=identity("node-w", Role.WORKER), address="", expires_at=clock.now() + 5000)
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(routes._serve_agent(theirs, caller, "node-w", ""))
        await clock.advance(4999)
        assert not serving.done()
        await clock.advance(1)
        assert serving.done()
    with pytest.raises(ChannelClosedError):
        await ours.receive()
    assert clock.next_at is None


class FailingDispatcher:
    """Has a mistake that something which an agent said has brought to light."""

    async def serve(self, _channel: Channel, _address: str, _node_id: str) -> None:
        raise KeyError("a mistake of ours")


async def test_a_mistake_in_one_session_ends_no_other(caplog: pytest.LogCaptureFixture) -> None:
    manager = SimpleNamespace(dispatcher=FailingDispatcher(), dial=None)
    routes = ManagerRoutes(cast("Any", manager), lambda _: None, FakeClock(), no_engine)
    _, theirs = local_channel()
    caller = Caller(peer=identity("node-w", Role.WORKER), address="")
    await routes._serve_agent(theirs, caller, "node-w", "")
    assert "a session has failed" in caplog.messages
