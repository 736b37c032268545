from typing import Any

import pytest

from common.errors import UnauthorizedError
from common.model.node import Role
from common.pki.identity import PeerIdentity, identity_in, peer_of


def certificate(*parts: tuple[str, str]) -> dict[str, Any]:
    return {"subject": tuple(((kind, value),) for kind, value in parts)}


CLUSTER = ("organizationName", "c1")
WORKER = ("organizationalUnitName", "swarm-worker")
MANAGER = ("organizationalUnitName", "swarm-manager")
NODE = ("commonName", "n1")


def test_reads_who_it_is() -> None:
    expected = PeerIdentity(node_id="n1", role=Role.MANAGER, cluster_id="c1")
    assert identity_in(certificate(CLUSTER, MANAGER, NODE)) == expected


REFUSED = {
    "no subject": (),
    "no node": (CLUSTER, WORKER),
    "no cluster": (WORKER, NODE),
    "no role": (CLUSTER, NODE),
    "an unknown role": (CLUSTER, ("organizationalUnitName", "swarm-ca"), NODE),
    "two roles": (CLUSTER, WORKER, MANAGER, NODE),
    "two nodes": (CLUSTER, WORKER, NODE, ("commonName", "n2")),
    "an empty node": (CLUSTER, WORKER, ("commonName", "")),
}


@pytest.mark.parametrize("parts", REFUSED.values(), ids=REFUSED)
def test_refuses_what_is_not_exactly_one_node(parts: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(UnauthorizedError):
        identity_in(certificate(*parts))


def test_nobody_is_at_the_end_of_no_connection() -> None:
    assert peer_of(None) is None
