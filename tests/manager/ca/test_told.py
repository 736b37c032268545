import pytest

from common.model.cluster import RootCa, RootRotation
from common.model.node import Node, NodeDescription, NodeSpec, Role, TlsInfo
from common.pki.certificate import bundle, public_key_in
from common.protocol.messages import NodeTold
from manager.ca.told import certificate_role, told_of
from tests.support.pki import root_of

OLD, NEW = root_of("old"), root_of("new")
OLD_KEY, NEW_KEY = public_key_in(OLD.certificate), public_key_in(NEW.certificate)
BOTH = bundle(OLD.certificate, NEW.certificate)
AT_REST = RootCa(certificate=OLD.certificate, key=OLD.key)
ROTATING = RootCa(
    certificate=OLD.certificate,
    key=OLD.key,
    rotation=RootRotation(certificate=NEW.certificate, key=NEW.key, cross_signed=b"x"),
)


def node(issuer: bytes = b"", role: Role = Role.WORKER) -> Node:
    info = TlsInfo(trust_root="", cert_issuer_public_key=issuer)
    return Node(
        id="n",
        spec=NodeSpec(role=role),
        description=NodeDescription(tls_info=info if issuer else None),
    )


ROLES = {
    "a manager": (Role.MANAGER, True, Role.MANAGER),
    "a worker that was promoted and has not joined the log": (Role.MANAGER, False, Role.MANAGER),
    "a manager that was demoted and is in the log still": (Role.WORKER, True, Role.MANAGER),
    "a worker": (Role.WORKER, False, Role.WORKER),
}


@pytest.mark.parametrize(("role", "is_member", "expected"), ROLES.values(), ids=ROLES)
def test_the_role_of_the_certificate_of(role: Role, is_member: bool, expected: Role) -> None:
    assert certificate_role(node(role=role), is_member=is_member) is expected


TOLD: dict[str, tuple[RootCa, bytes, bool, bytes, bytes]] = {
    "nothing changes": (AT_REST, OLD_KEY, False, OLD.certificate, OLD_KEY),
    "it has not said what it has": (AT_REST, b"", False, OLD.certificate, b""),
    "its turn has not come: it trusts both roots already": (ROTATING, OLD_KEY, False, BOTH, b""),
    "its turn has come": (ROTATING, OLD_KEY, True, BOTH, NEW_KEY),
    "it has followed, under another leader": (ROTATING, NEW_KEY, False, BOTH, NEW_KEY),
    "a rotation was called off": (AT_REST, NEW_KEY, True, OLD.certificate, OLD_KEY),
}


@pytest.mark.parametrize(("root", "has", "is_turn", "trust", "issuer"), TOLD.values(), ids=TOLD)
def test_a_node_is_told(
    root: RootCa, has: bytes, is_turn: bool, trust: bytes, issuer: bytes
) -> None:
    told = told_of(root, node(has), is_member=False, is_turn=is_turn)
    assert told == NodeTold(role=Role.WORKER, trust=trust, issuer=issuer)
