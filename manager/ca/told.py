"""What a node is told about its certificate. Pure."""

from common.model.cluster import RootCa
from common.model.node import Node, Role
from common.protocol.messages import NodeTold
from manager.ca.roots import issuer_key, trust_of


def certificate_role(node: Node, *, is_member: bool) -> Role:
    """What a node's certificate says now. A manager that is to be a worker is one once it is out of the log."""
    if node.spec.role is Role.MANAGER or is_member:
        return Role.MANAGER
    return Role.WORKER


def issuer_of(node: Node) -> bytes:
    """The public key of whoever issued the certificate that the node has, as it says itself; empty: it does not."""
    tls_info = node.description.tls_info
    return b"" if tls_info is None else tls_info.cert_issuer_public_key


def told_of(root: RootCa, node: Node, *, is_member: bool, is_turn: bool) -> NodeTold:
    """What the node is told. Before its turn it is not asked to have a certificate of the next root.

    Raises:
        SystemFailureError: the root is damaged.
    """
    wanted = issuer_key(root)
    return NodeTold(
        role=certificate_role(node, is_member=is_member),
        trust=trust_of(root),
        issuer=wanted if is_turn or issuer_of(node) == wanted else b"",
    )
