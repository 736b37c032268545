"""What a new cluster begins with: its root, its first node's certificate, its first objects."""

from collections.abc import Sequence
from dataclasses import replace

from cli.swarmd.membership import Membership
from common.errors import InvalidInputError
from common.model.cluster import DEFAULT_DATA_PATH_PORT, Cluster, RootCa
from common.model.node import (
    Availability,
    Node,
    NodeDescription,
    NodeSpec,
    NodeState,
    NodeStatus,
    Role,
)
from common.pki.files import Credentials
from common.pki.identity import PeerIdentity
from common.pki.lock import Lock
from manager.api.ports import InitRequest
from manager.store.changes import Change, Create, Update
from manager.store.state import State

NODES_PER_ENTRY_MAX = 100
"""Nodes changed at once."""


def new_root_ca(now: float) -> RootCa:
    """A new certificate authority with its join tokens. Takes long: belongs into a thread."""
    from common.pki.authority import new_root  # noqa: PLC0415 - slow to load
    from common.pki.tokens import new_token  # noqa: PLC0415

    root = new_root(now)
    return RootCa(
        certificate=root.certificate,
        key=root.key,
        worker_token=str(new_token(root.certificate)),
        manager_token=str(new_token(root.certificate)),
    )


def first_credentials(
    root: RootCa, membership: Membership, now: float, lifetime_seconds: float
) -> Credentials:
    """The certificate that the first manager gives itself. Takes long: belongs into a thread.

    Raises:
        InvalidInputError: the cluster has no root.
    """
    from common.pki.authority import (  # noqa: PLC0415 - slow to load
        Root,
        new_request,
        sign,
    )

    if not root.key:
        raise InvalidInputError("the saved swarm has no certificate authority")
    key, request = new_request()
    subject = PeerIdentity(
        node_id=membership.node_id, role=Role.MANAGER, cluster_id=membership.cluster_id
    )
    certificate = sign(
        Root(certificate=root.certificate, key=root.key), request, subject, now, lifetime_seconds
    )
    return Credentials(root=root.certificate, certificate=certificate, key=key)


def new_cluster(cluster_id: str, request: InitRequest, root: RootCa) -> Cluster:
    """The cluster as it was asked for."""
    return Cluster(
        id=cluster_id,
        spec=request.spec,
        data_path_port=request.data_path_port or DEFAULT_DATA_PATH_PORT,
        default_addr_pool=request.default_addr_pool or ("10.0.0.0/8",),
        subnet_size=request.subnet_size,
        root_ca=root,
        unlock_key=Lock.new().text if request.spec.encryption_config.auto_lock_managers else "",
    )


def first_node(
    membership: Membership, availability: Availability, description: NodeDescription
) -> Node:
    """The node of the only manager."""
    return Node(
        id=membership.node_id,
        spec=NodeSpec(role=Role.MANAGER, availability=availability),
        description=description,
        status=NodeStatus(state=NodeState.UNKNOWN, addr=membership.address),
    )


def alone(state: State, own: Node) -> Sequence[Sequence[Change]]:
    """Changes, entry by entry, after which ``own`` is the only manager in the list; the others are workers then."""
    known = state.nodes.get(own.id)
    first: Change = Create(object=own)
    if known is not None:
        spec = replace(known.spec, role=Role.MANAGER)
        status = replace(known.status, addr=own.status.addr)
        first = Update(object=replace(known, spec=spec, status=status))
    changes = [first]
    changes += [
        Update(object=replace(node, spec=replace(node.spec, role=Role.WORKER)))
        for node in state.nodes.values()
        if node.spec.role is Role.MANAGER and node.id != own.id
    ]
    return [
        changes[at : at + NODES_PER_ENTRY_MAX] for at in range(0, len(changes), NODES_PER_ENTRY_MAX)
    ]
