import asyncio
import random
from collections.abc import Mapping

import pytest

from common.errors import ConflictError
from common.model.node import Node, NodeSpec, Role
from manager.members import AGAIN_SECONDS, keep_members, surplus
from manager.raft.peers import Peer, RaftStatus
from manager.store.changes import Create, Delete, Update
from manager.store.store import Store, memory_store
from tests.support.fake_clock import FakeClock, settle
from tests.support.raft_status import status_of

OWN = "a"


def peer(name: str) -> Peer:
    return Peer(member_id=name, node_id=f"node-{name}", address=f"{name}:2377")


def node(name: str, role: Role = Role.MANAGER) -> Node:
    return Node(id=f"node-{name}", spec=NodeSpec(role=role))


CASES: dict[str, tuple[Mapping[str, Role], str, list[str]]] = {
    "all are managers": ({"a": Role.MANAGER, "b": Role.MANAGER}, "ab", []),
    "one was demoted": ({"a": Role.MANAGER, "b": Role.WORKER}, "ab", ["b"]),
    "one was removed": ({"a": Role.MANAGER}, "ab", ["b"]),
    "the leader itself goes last": ({"a": Role.WORKER, "b": Role.WORKER}, "ab", ["b", "a"]),
    "a swarm that is being made": ({}, "a", []),
    "a manager that has not joined yet": ({"a": Role.MANAGER, "b": Role.MANAGER}, "a", []),
}


@pytest.mark.parametrize(("roles", "members", "expected"), CASES.values(), ids=CASES)
def test_surplus(roles: Mapping[str, Role], members: str, expected: list[str]) -> None:
    nodes = {f"node-{name}": node(name, role) for name, role in roles.items()}
    found = surplus(nodes, [peer(name) for name in members], OWN)
    assert [one.member_id for one in found] == expected


class Members:
    def __init__(self) -> None:
        self.there = ["a", "b", "c"]
        self.asked: list[str] = []
        self.refuses = False

    def status(self) -> RaftStatus:
        return status_of(
            peer(OWN),
            members=tuple(map(peer, self.there)),
            leader=peer(OWN),
            is_leader=True,
            reachable=frozenset(self.there),
        )

    async def remove(self, member_id: str, *, force: bool = False) -> None:
        assert not force
        self.asked.append(member_id)
        if self.refuses:
            raise ConflictError("too few are there")
        self.there.remove(member_id)


async def demote(store: Store, name: str) -> None:
    old = store.state.nodes[f"node-{name}"]
    demoted = Node(id=old.id, version=old.version, spec=NodeSpec(role=Role.WORKER))
    await store.propose([Update(object=demoted)])


async def test_a_demoted_manager_is_taken_out_and_one_that_cannot_be_is_tried_again() -> None:
    clock, members = FakeClock(), Members()
    store = memory_store(clock, random.Random(1))
    await store.propose([Create(object=node(name)) for name in "abc"])
    async with asyncio.TaskGroup() as group:
        keeping = group.create_task(keep_members(store, members, clock))
        await settle()
        assert members.asked == []
        await demote(store, "b")
        await settle()
        assert members.there == ["a", "c"]
        members.refuses = True
        await store.propose([Delete(table="node", id="node-c")])
        await settle()
        assert members.there == ["a", "c"]
        members.refuses = False
        await clock.advance(AGAIN_SECONDS)
        await settle()
        assert members.there == ["a"]
        assert members.asked == ["b", "c", "c"]
        keeping.cancel()


async def test_one_that_was_demoted_while_it_was_being_added_is_found_without_a_ring() -> None:
    clock, members = FakeClock(), Members()
    members.there = ["a"]
    store = memory_store(clock, random.Random(1))
    await store.propose([Create(object=node("a")), Create(object=node("b", Role.WORKER))])
    async with asyncio.TaskGroup() as group:
        keeping = group.create_task(keep_members(store, members, clock))
        await settle()
        members.there.append("b")
        await clock.advance(AGAIN_SECONDS)
        assert members.there == ["a"]
        keeping.cancel()
