from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from common.model.cluster import CaConfig, Cluster, ClusterSpec
from manager.ca.removal import (
    MARGIN_SECONDS,
    REMOVED_NODES_MAX,
    is_removed,
    longest_life,
    with_removed_node,
)

DAY = 24 * 3600.0
CLUSTER = Cluster(id="c", longest_cert_seconds=90 * DAY)


def test_a_removed_node_is_known_for_as_long_as_its_certificate_may_live() -> None:
    cluster = with_removed_node(CLUSTER, "n", 1000.0)
    assert cluster.removed_nodes == {"n": 1000.0 + 90 * DAY + MARGIN_SECONDS}
    assert is_removed(cluster, "n")
    assert not is_removed(cluster, "other")
    assert not is_removed(None, "n")


def test_a_life_that_was_shortened_since_counts_as_it_was() -> None:
    short = ClusterSpec(ca_config=CaConfig(node_cert_expiry_seconds=3600.0))
    assert longest_life(replace(CLUSTER, spec=short)) == 90 * DAY


def test_a_longer_life_counts_at_once() -> None:
    long = ClusterSpec(ca_config=CaConfig(node_cert_expiry_seconds=900 * DAY))
    assert longest_life(replace(CLUSTER, spec=long)) == 900 * DAY


def test_nodes_whose_certificates_are_over_are_forgotten_with_the_next_one() -> None:
    cluster = replace(CLUSTER, removed_nodes={"old": 999.0, "young": 1001.0})
    assert set(with_removed_node(cluster, "n", 1000.0).removed_nodes) == {"young", "n"}


@given(st.integers(0, 3))
def test_no_more_are_known_than_the_bound_and_the_latest_are(more: int) -> None:
    removed = {f"n{at}": 5000.0 + at for at in range(REMOVED_NODES_MAX + more)}
    cluster = with_removed_node(replace(CLUSTER, removed_nodes=removed), "last", 1000.0)
    assert len(cluster.removed_nodes) == REMOVED_NODES_MAX
    assert "last" in cluster.removed_nodes
    assert "n0" not in cluster.removed_nodes


def test_removing_it_again_changes_nothing() -> None:
    once = with_removed_node(CLUSTER, "n", 1000.0)
    assert with_removed_node(once, "n", 1000.0) == once
