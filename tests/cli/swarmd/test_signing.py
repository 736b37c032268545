"""A manager signs for itself; when its certificate has run out, without hearing from anybody."""

import random

import pytest
from typing_extensions import override

from cli.swarmd.signing import signed_by_itself
from common.errors import ForbiddenError, NoLeaderError
from common.model.cluster import Cluster, RootCa
from common.model.node import Node, NodeSpec, Role
from common.pki.authority import new_request
from common.pki.certificate import facts_of
from manager.ca.renewals import Renewals
from manager.raft.log import Log
from manager.store.changes import Create
from manager.store.memory_log import MemoryLog
from manager.store.replica import Replica
from manager.store.store import Store
from tests.support.fake_clock import FakeClock
from tests.support.pki import CLUSTER_ID, NOW, identity, root_of

ROOT = root_of()
_, REQUEST = new_request()
ME = identity("node1")


class Alone(MemoryLog):
    """A log whose other members are away."""

    is_alone = False

    @override
    async def up_to_date(self) -> None:
        if self.is_alone:
            raise NoLeaderError


@pytest.fixture
def log() -> tuple[Alone, Replica]:
    replica = Replica()
    return Alone(replica.apply), replica


@pytest.fixture
async def renewals(log: tuple[Alone, Replica]) -> Renewals:
    clock = FakeClock(NOW)
    made: Log = log[0]
    store = Store(log[1], made, clock, random.Random(1))
    root_ca = RootCa(certificate=ROOT.certificate, key=ROOT.key)
    node = Node(id=ME.node_id, spec=NodeSpec(role=Role.MANAGER))
    await store.propose(
        [Create(object=Cluster(id=CLUSTER_ID, root_ca=root_ca)), Create(object=node)]
    )
    return Renewals(store, clock, lambda _: True)


@pytest.mark.parametrize("is_alone", [False, True], ids=["heard by the others", "alone"])
async def test_with_a_certificate_that_the_others_do_not_believe(
    log: tuple[Alone, Replica], renewals: Renewals, is_alone: bool
) -> None:
    log[0].is_alone = is_alone
    given = await signed_by_itself(REQUEST, renewals, ME, is_heard=False)
    facts = facts_of(given.certificate, given.trust)
    assert (facts.node_id, facts.role, facts.cluster_id) == (ME.node_id, Role.MANAGER, CLUSTER_ID)


async def test_before_that_it_has_to_know_that_it_is_a_manager_still(
    log: tuple[Alone, Replica], renewals: Renewals
) -> None:
    log[0].is_alone = True
    with pytest.raises(NoLeaderError):
        await signed_by_itself(REQUEST, renewals, ME, is_heard=True)


async def test_one_that_knows_that_it_was_removed_gives_itself_none(
    log: tuple[Alone, Replica], renewals: Renewals
) -> None:
    log[0].is_alone = True
    with pytest.raises(ForbiddenError):
        await signed_by_itself(REQUEST, renewals, identity("gone"), is_heard=False)
