"""The leader has another root take the place of the present one."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from common.model.cluster import Cluster, RootCa, RootRotation
from common.model.node import Node, NodeDescription, NodeSpec, NodeState, NodeStatus, TlsInfo
from common.pki.authority import Root, cross_sign
from common.pki.certificate import public_key_in
from common.pki.tokens import parse_token
from manager.ca.rotating import LOOK_SECONDS, TURN_SECONDS, RootRotating
from manager.ca.rotation import TURN_NODES_MAX
from manager.store.changes import Create, Update
from manager.store.store import memory_store
from tests.support.fake_clock import FakeClock, settle
from tests.support.pki import CLUSTER_ID, NOW, root_of

OLD, NEW, OTHER = root_of("old"), root_of("new"), root_of("other")


class World:
    """A leader, and nodes that do as they are told."""

    def __init__(self) -> None:
        self.clock = FakeClock(now=NOW)
        self.store = memory_store(self.clock, random.Random(1))
        self.rotating = RootRotating(self.store, self.clock, lambda _: False, self.tell)
        self.told: list[list[str]] = []
        self.off: set[str] = set()

    def tell(self, node_ids: Iterable[str]) -> None:
        self.told.append(list(node_ids))

    @property
    def cluster(self) -> Cluster:
        found = self.store.state.cluster()
        assert found is not None
        return found

    async def begin(self, nodes: int) -> None:
        root = RootCa(certificate=OLD.certificate, key=OLD.key)
        await self.store.propose([Create(object=Cluster(id=CLUSTER_ID, root_ca=root))])
        for at in range(nodes):
            info = TlsInfo(
                trust_root=OLD.certificate.decode(),
                cert_issuer_public_key=public_key_in(OLD.certificate),
            )
            node = Node(
                id=f"n{at:03}",
                spec=NodeSpec(),
                status=NodeStatus(state=NodeState.READY),
                description=NodeDescription(tls_info=info),
            )
            await self.store.propose([Create(object=node)])

    async def rotate(self, new: Root) -> None:
        between = cross_sign(OLD, new.certificate, NOW)
        rotation = RootRotation(certificate=new.certificate, key=new.key, cross_signed=between)
        root = replace(self.cluster.root_ca, rotation=rotation)
        await self.store.propose([Update(object=replace(self.cluster, root_ca=root))])

    async def follow(self) -> int:
        """Every node that is on renews as it is told; gives how many did."""
        renewed = 0
        for node in list(self.store.state.nodes.values()):
            told = self.rotating.told(node)
            if told is None or node.id in self.off:
                continue
            has = node.description.tls_info
            assert has is not None
            now = TlsInfo(
                trust_root=told.trust.decode(),
                cert_issuer_public_key=told.issuer or has.cert_issuer_public_key,
            )
            if now != has:
                renewed += now.cert_issuer_public_key != has.cert_issuer_public_key
                described = replace(node, description=NodeDescription(tls_info=now))
                await self.store.propose([Update(object=described)])
        return renewed

    async def switch(self, name: str, state: NodeState) -> None:
        self.off = self.off - {name} if state is NodeState.READY else self.off | {name}
        node = self.store.state.nodes[name]
        await self.store.propose([Update(object=replace(node, status=NodeStatus(state=state)))])

    async def advance(self, seconds: float) -> None:
        await settle()
        await self.clock.advance(seconds)
        await settle()


@asynccontextmanager
async def leading(world: World) -> AsyncIterator[None]:
    reign = asyncio.get_running_loop().create_task(world.rotating.run(world.store))
    for _ in range(100):
        await settle()
        if world.told:
            break
        await asyncio.sleep(0.01)  # a thread loads what reads certificates
    try:
        yield
    finally:
        reign.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reign


async def rotated(world: World, until: bytes) -> None:
    for _ in range(40):
        await world.follow()
        await world.advance(TURN_SECONDS)
        if world.cluster.root_ca.certificate == until:
            await world.follow()
            return
    raise AssertionError("the rotation did not end")


async def test_nothing_is_told_before_certificates_can_be_read() -> None:
    world = World()
    await world.begin(1)
    assert world.rotating.told(world.store.state.nodes["n000"]) is None


async def test_a_rotation_ends_with_the_new_root_and_tokens_that_name_it() -> None:
    world = World()
    await world.begin(3)
    async with leading(world):
        await world.rotate(NEW)
        await rotated(world, NEW.certificate)
    root = world.cluster.root_ca
    assert (root.certificate, root.key, root.rotation) == (NEW.certificate, NEW.key, None)
    for token in (root.worker_token, root.manager_token):
        assert parse_token(token).is_for(NEW.certificate)


async def test_few_nodes_renew_at_once() -> None:
    world = World()
    await world.begin(TURN_NODES_MAX + 5)
    async with leading(world):
        await world.rotate(NEW)
        await world.advance(LOOK_SECONDS)
        assert await world.follow() == TURN_NODES_MAX
        await world.advance(LOOK_SECONDS)
        assert await world.follow() == 0
        await world.advance(TURN_SECONDS)
        assert await world.follow() == 5


async def test_another_leader_goes_on_with_it() -> None:
    world = World()
    await world.begin(TURN_NODES_MAX + 5)
    async with leading(world):
        await world.rotate(NEW)
        await world.advance(LOOK_SECONDS)
        await world.follow()
    world.told.clear()
    world.rotating = RootRotating(world.store, world.clock, lambda _: False, world.tell)
    async with leading(world):
        await rotated(world, NEW.certificate)


async def test_it_waits_for_a_node_that_is_off_through_a_second_rotation() -> None:
    world = World()
    await world.begin(3)
    await world.switch("n001", NodeState.DOWN)
    async with leading(world):
        await world.rotate(NEW)
        for _ in range(5):
            await world.follow()
            await world.advance(TURN_SECONDS)
        assert world.cluster.root_ca.rotation is not None
        await world.rotate(OTHER)
        for _ in range(5):
            await world.follow()
            await world.advance(TURN_SECONDS)
        assert world.cluster.root_ca.certificate == OLD.certificate
        await world.switch("n001", NodeState.READY)
        await rotated(world, OTHER.certificate)


async def test_a_rotation_that_is_called_off_has_nodes_return() -> None:
    world = World()
    await world.begin(2)
    await world.switch("n001", NodeState.DOWN)
    async with leading(world):
        await world.rotate(NEW)
        await world.advance(LOOK_SECONDS)
        await world.follow()
        root = replace(world.cluster.root_ca, rotation=None)
        await world.store.propose([Update(object=replace(world.cluster, root_ca=root))])
        await world.advance(TURN_SECONDS)
        await world.follow()
    info = world.store.state.nodes["n000"].description.tls_info
    assert info is not None
    assert info.cert_issuer_public_key == public_key_in(OLD.certificate)
    assert info.trust_root == OLD.certificate.decode()


async def test_what_has_nothing_to_do_looks_at_nothing() -> None:
    world = World()
    await world.begin(2)
    async with leading(world):
        await world.advance(10 * TURN_SECONDS)
        assert world.clock.next_at is None
