"""Another root for the cluster: which nodes are waited for, whose turn it is, when it is done. Pure."""

from collections.abc import Collection, Iterable
from typing import Final

from common.model.cluster import RootCa
from common.model.node import Node, NodeState
from manager.ca.roots import issuer_key, trusts
from manager.ca.told import issuer_of

TURN_NODES_MAX: Final = 30
"""Nodes that are asked at once to have their certificates renewed; Docker's number."""


def waited_for(root: RootCa, nodes: Iterable[Node]) -> list[Node]:
    """Nodes that do not have what they are to have: a certificate of the issuing root, and trust in it.

    A node says itself what it has, and whatever it says is believed: who lies is left behind, and nobody else.
    """
    wanted, following = issuer_key(root), root.rotation
    return [
        node
        for node in nodes
        if issuer_of(node) != wanted
        or (
            following is not None
            and node.description.tls_info is not None
            and not trusts(node.description.tls_info.trust_root, following)
        )
    ]


def next_turn(waiting: Iterable[Node], asked: Collection[str]) -> list[str]:
    """The ids of those to ask next, of the nodes that are there and were not asked yet."""
    there = (node.id for node in waiting if node.status.state is NodeState.READY)
    return sorted(node_id for node_id in there if node_id not in asked)[:TURN_NODES_MAX]


def completed(root: RootCa, worker_token: str, manager_token: str) -> RootCa:
    """The authority once nobody needs the former one: join tokens name the root, so they are new, too."""
    following = root.rotation
    if following is None:
        return root
    return RootCa(
        certificate=following.certificate,
        key=following.key,
        worker_token=worker_token,
        manager_token=manager_token,
    )
