"""What a placement constraint may look like, and which nodes satisfy it."""

import pytest

from common.constraints import node_satisfies, parse_constraints
from common.errors import InvalidInputError
from common.model.node import Engine, Node, NodeDescription, NodeSpec, NodeStatus, Role
from common.model.placement import Platform

NODE = Node(
    id="n1abc",
    spec=NodeSpec(role=Role.MANAGER, labels={"disk": "ssd", "Zone": "North"}),
    description=NodeDescription(
        hostname="host-1",
        platform=Platform(os="linux", architecture="x86_64"),
        engine=Engine(labels={"storage": "nvme"}),
    ),
    status=NodeStatus(addr="10.1.2.3"),
)

SATISFIED = {
    "the id": "node.id==n1abc",
    "in any case": "NODE.ID == N1ABC",
    "another id is excluded": "node.id!=n2",
    "the host's name": "node.hostname==HOST-1",
    "the role": "node.role==manager",
    "not the other role": "node.role != worker",
    "the operating system": "node.platform.os==linux",
    "the architecture as uname says": "node.platform.arch==x86_64",
    "the architecture as Go says": "node.platform.arch==amd64",
    "a label": "node.labels.disk==SSD",
    "a label's name keeps its case": "node.labels.Zone==north",
    "a label that is missing differs from all": "node.labels.rack!=r1",
    "an engine label": "engine.labels.storage==nvme",
    "an address": "node.ip==10.1.2.3",
    "a network": "node.ip==10.1.0.0/16",
    "a network with host bits": "node.ip==10.1.2.9/16",
    "outside a network": "node.ip!=10.2.0.0/16",
    "a network of the other family": "node.ip!=2001:db8::/32",
}

REFUSED = {
    "another id": "node.id==n2",
    "the name of a label in another case": "node.labels.zone==north",
    "a missing label equals nothing": "node.labels.rack==r1",
    "a missing engine label": "engine.labels.rack==r1",
    "the same architecture, excluded in the other word": "node.platform.arch!=amd64",
    "an excluded network": "node.ip!=10.1.0.0/16",
    "a malformed address": "node.ip==10.1.2",
    "a malformed address, negated": "node.ip!=10.1.2",
    "a key that nobody knows": "node.color!=red",
    "a label without a name": "node.labels.!=x",
}

MALFORMED = {
    "": "constraint expected one operator from ==, !=",
    "node.id=n1": "constraint expected one operator from ==, !=",
    "node.id>2": "constraint expected one operator from ==, !=",
    "==n1": "key '' is invalid",
    "1node==n1": "key '1node' is invalid",
    "x==n1": "key 'x' is invalid",
    "node id==n1": "key 'node id' is invalid",
    "node.id==": "value '' is invalid",
    "node.id==a,b": "value 'a,b' is invalid",
    "node.id!=a==b": "key 'node.id!=a' is invalid",
    "node.id==a==b": "value 'a==b' is invalid",
}


@pytest.mark.parametrize("text", SATISFIED.values(), ids=SATISFIED)
def test_is_satisfied(text: str) -> None:
    assert node_satisfies(parse_constraints([text]), NODE)


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_is_not_satisfied(text: str) -> None:
    assert not node_satisfies(parse_constraints([text]), NODE)


@pytest.mark.parametrize(("text", "message"), MALFORMED.items(), ids=MALFORMED)
def test_is_refused_with_docker_s_words(text: str, message: str) -> None:
    with pytest.raises(InvalidInputError) as error:
        parse_constraints([text])
    assert message == str(error.value)


def test_all_constraints_must_hold() -> None:
    constraints = parse_constraints(["node.role==manager", "node.labels.disk==hdd"])
    assert not node_satisfies(constraints, NODE)


def test_a_node_without_an_address_is_in_no_network() -> None:
    bare = Node(id="bare")
    assert not node_satisfies(parse_constraints(["node.ip==0.0.0.0/0"]), bare)
    assert node_satisfies(parse_constraints(["node.ip!=0.0.0.0/0"]), bare)
