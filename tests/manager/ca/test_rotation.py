import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.cluster import RootCa, RootRotation
from common.model.node import Node, NodeDescription, NodeState, NodeStatus, TlsInfo
from common.pki.certificate import bundle, public_key_in
from manager.ca.rotation import TURN_NODES_MAX, completed, next_turn, waited_for
from tests.support.pki import root_of

OLD, NEW, OTHER = root_of("old"), root_of("new"), root_of("other")
AT_REST = RootCa(certificate=OLD.certificate, key=OLD.key, worker_token="w", manager_token="m")
ROTATING = RootCa(
    certificate=OLD.certificate,
    key=OLD.key,
    worker_token="w",
    manager_token="m",
    rotation=RootRotation(certificate=NEW.certificate, key=NEW.key, cross_signed=b"x"),
)


def node(name: str = "n", state: NodeState = NodeState.READY, **tls: bytes) -> Node:
    info = None
    if tls:
        info = TlsInfo(
            cert_issuer_public_key=public_key_in(tls["issuer"]), trust_root=tls["trust"].decode()
        )
    return Node(id=name, status=NodeStatus(state=state), description=NodeDescription(tls_info=info))


BOTH = bundle(OLD.certificate, NEW.certificate)
CASES: dict[str, tuple[RootCa, Node, bool]] = {
    "at rest": (AT_REST, node(issuer=OLD.certificate, trust=OLD.certificate), False),
    "the old certificate": (ROTATING, node(issuer=OLD.certificate, trust=BOTH), True),
    "the new certificate": (ROTATING, node(issuer=NEW.certificate, trust=BOTH), False),
    "the new certificate, the new root unknown": (
        ROTATING,
        node(issuer=NEW.certificate, trust=OLD.certificate),
        True,
    ),
    "one of a target that was replaced": (
        ROTATING,
        node(issuer=OTHER.certificate, trust=bundle(OLD.certificate, OTHER.certificate)),
        True,
    ),
    "it never said": (ROTATING, node(), True),
    "it is off": (ROTATING, node("n", NodeState.DOWN, issuer=OLD.certificate, trust=BOTH), True),
    "off, and it had followed": (
        ROTATING,
        node("n", NodeState.DOWN, issuer=NEW.certificate, trust=BOTH),
        False,
    ),
    "called off, it had followed": (AT_REST, node(issuer=NEW.certificate, trust=BOTH), True),
}


@pytest.mark.parametrize(("root", "given_node", "expected"), CASES.values(), ids=CASES)
def test_waits_for_a_node(root: RootCa, given_node: Node, expected: bool) -> None:
    assert waited_for(root, [given_node]) == ([given_node] if expected else [])


@given(st.lists(st.sampled_from(list(NodeState)), max_size=100))
def test_every_node_that_is_there_has_its_turn_once_and_few_have_it_together(
    states: list[NodeState],
) -> None:
    nodes = [node(f"n{at:03}", state) for at, state in enumerate(states)]
    asked: set[str] = set()
    while turn := next_turn(nodes, asked):
        assert len(turn) <= TURN_NODES_MAX
        assert not asked & set(turn)
        asked.update(turn)
    assert asked == {one.id for one in nodes if one.status.state is NodeState.READY}


def test_when_it_is_done_the_new_root_is_the_only_one_and_the_tokens_are_new() -> None:
    assert completed(ROTATING, "w2", "m2") == RootCa(
        certificate=NEW.certificate, key=NEW.key, worker_token="w2", manager_token="m2"
    )


def test_doing_it_again_changes_nothing() -> None:
    done = completed(ROTATING, "w2", "m2")
    assert completed(done, "w3", "m3") == done
