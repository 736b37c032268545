import random

from cli.swarmd.founding import NODES_PER_ENTRY_MAX, alone, first_credentials, new_root_ca
from cli.swarmd.membership import Membership
from common.model.node import Node, NodeSpec, NodeStatus, Role
from common.pki.tokens import parse_token
from manager.store.changes import Create
from manager.store.store import memory_store
from tests.support.fake_clock import FakeClock

MEMBERSHIP = Membership(node_id="own", address="192.0.2.1", cluster_id="c", port=2377)


def test_a_new_root_has_two_different_tokens_for_itself() -> None:
    root = new_root_ca(1_700_000_000.0)
    worker, manager = parse_token(root.worker_token), parse_token(root.manager_token)
    assert worker.is_for(root.certificate)
    assert manager.is_for(root.certificate)
    assert worker.secret != manager.secret
    credentials = first_credentials(root, MEMBERSHIP, 1_700_000_000.0, 3600.0)
    assert credentials.root == root.certificate
    assert root.key != credentials.key


async def test_after_a_disaster_one_manager_is_left_and_all_others_are_workers() -> None:
    store = memory_store(FakeClock(), random.Random(1))
    for number in range(NODES_PER_ENTRY_MAX + 1):
        node = Node(id=f"m{number}", spec=NodeSpec(role=Role.MANAGER))
        await store.propose([Create(object=node)])
    await store.propose([Create(object=Node(id="w", spec=NodeSpec(name="kept")))])
    own = Node(
        id="own", spec=NodeSpec(role=Role.MANAGER), status=NodeStatus(addr=MEMBERSHIP.address)
    )
    for own_again in (own, own):  # not in the list at first, then found there
        for changes in alone(store.state, own_again):
            await store.propose(changes)
        managers = [n.id for n in store.state.nodes.values() if n.spec.role is Role.MANAGER]
        assert managers == ["own"]
    assert store.state.nodes["w"].spec.name == "kept"
    assert store.state.nodes["own"].status.addr == MEMBERSHIP.address
