"""Nodes that were removed: for as long as a certificate of theirs may be in date, they are refused. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from common.model.cluster import Cluster
from manager.store.changes import Change, Delete, Update

REMOVED_NODES_MAX: Final = 2048
"""Removed nodes that are known. Beyond, those are forgotten whose certificates end first."""
MARGIN_SECONDS: Final = 3600.0
"""How much longer than its certificate lives a removed node is known: clocks differ."""


def with_removed_node(cluster: Cluster, node_id: str, now: float) -> Cluster:
    """The cluster, knowing of one more removed node, and not any more of those whose certificates are over.

    Its change belongs into the entry that removes the node.
    """
    until = now + longest_life(cluster) + MARGIN_SECONDS
    return replace(cluster, removed_nodes=_bounded({**cluster.removed_nodes, node_id: until}, now))


def removal(cluster: Cluster | None, node_id: str, now: float, *, basis: int = 0) -> list[Change]:
    """The end of a node, of the version ``basis`` or of any, whose certificate is refused from then on."""
    gone: list[Change] = [Delete(table="node", id=node_id, basis=basis)]
    if cluster is not None:
        gone.append(Update(object=with_removed_node(cluster, node_id, now)))
    return gone


def is_removed(cluster: Cluster | None, node_id: str) -> bool:
    """Whether a node of that id was removed, and may still have a certificate."""
    return cluster is not None and node_id in cluster.removed_nodes


def longest_life(cluster: Cluster) -> float:
    """Seconds that a certificate may have been given, now or before the settings were changed."""
    return max(cluster.longest_cert_seconds, cluster.spec.ca_config.node_cert_expiry_seconds)


def _bounded(removed: Mapping[str, float], now: float) -> dict[str, float]:
    latest = sorted(
        ((until, node_id) for node_id, until in removed.items() if until > now), reverse=True
    )
    return {node_id: until for until, node_id in sorted(latest[:REMOVED_NODES_MAX])}
