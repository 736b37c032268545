"""Who is at the other end of a connection, as its certificate says."""

import asyncio
import math
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from common.errors import UnauthorizedError
from common.model.node import Role

UNIT_OF_ROLE: Final[Mapping[Role, str]] = {
    Role.MANAGER: "swarm-manager",
    Role.WORKER: "swarm-worker",
}
"""The organizational unit of a node's certificate; also a name of it, so that TLS itself can ask for it."""
MANAGER_NAME: Final = UNIT_OF_ROLE[Role.MANAGER]
"""The ``server_hostname`` to dial a manager with: the handshake fails with anybody else."""
ROLE_OF_UNIT: Final[Mapping[str, Role]] = {unit: role for role, unit in UNIT_OF_ROLE.items()}
_NODE_ID, _UNIT, _CLUSTER_ID = "commonName", "organizationalUnitName", "organizationName"


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerIdentity:
    """A node, proven by a certificate of our root."""

    node_id: str
    role: Role
    cluster_id: str


def peer_of(transport: asyncio.BaseTransport | None) -> PeerIdentity | None:
    """Whom TLS has established at the other end; None where the other end showed no certificate.

    Raises:
        UnauthorizedError: its certificate is of our root, but not a node's.
    """
    tls = transport.get_extra_info("ssl_object") if transport is not None else None
    certificate = tls.getpeercert() if tls is not None else None
    return identity_in(certificate) if certificate else None


def expiry_of(transport: asyncio.BaseTransport | None) -> float:
    """When the certificate runs out that the other end has shown; never, where it has shown none."""
    tls = transport.get_extra_info("ssl_object") if transport is not None else None
    certificate = tls.getpeercert() if tls is not None else None
    return ssl.cert_time_to_seconds(certificate["notAfter"]) if certificate else math.inf


def identity_in(certificate: Mapping[str, Any]) -> PeerIdentity:
    """The identity in a certificate as ``ssl.SSLObject.getpeercert`` gives it.

    Raises:
        UnauthorizedError: its subject is not exactly one node id, one role and one cluster.
    """
    named: dict[str, str] = {}
    for part in certificate.get("subject", ()):
        for kind, value in part:
            if kind in named:
                raise UnauthorizedError(f"the certificate says {kind} more than once")
            named[kind] = value
    role = ROLE_OF_UNIT.get(named.get(_UNIT, ""))
    node_id, cluster_id = named.get(_NODE_ID, ""), named.get(_CLUSTER_ID, "")
    if role is None or not node_id or not cluster_id:
        raise UnauthorizedError("the certificate is not a node's")
    return PeerIdentity(node_id=node_id, role=role, cluster_id=cluster_id)
