"""A cluster's root and the files of its nodes, for tests; roots are made once."""

import ssl
from functools import lru_cache
from pathlib import Path

from common.model.node import Role
from common.pki.authority import Root, new_request, new_root, sign
from common.pki.files import Credentials, NodeFiles
from common.pki.identity import PeerIdentity

NOW = 1_790_000_000.0
"""Close enough to the machine's own time that certificates of it, for decades, are in date."""
DECADES = 15 * 365 * 24 * 3600.0
CLUSTER_ID = "cluster1"


@lru_cache(maxsize=4)
def root_of(name: str = "ours") -> Root:
    """A root for each name."""
    assert name
    return new_root(NOW - DECADES / 3)


def identity(node_id: str, role: Role = Role.MANAGER, cluster_id: str = CLUSTER_ID) -> PeerIdentity:
    return PeerIdentity(node_id=node_id, role=role, cluster_id=cluster_id)


def credentials(
    who: PeerIdentity,
    root: Root | None = None,
    *,
    now: float = NOW - DECADES / 3,
    lifetime_seconds: float = DECADES,
) -> Credentials:
    root = root or root_of()
    key, request = new_request()
    certificate = sign(root, request, who, now, lifetime_seconds)
    return Credentials(root=root.certificate, certificate=certificate, key=key)


def files_of(directory: Path, who: PeerIdentity, root: Root | None = None) -> NodeFiles:
    files = NodeFiles(directory / f"{who.node_id}-{who.role}-{who.cluster_id}")
    files.write(credentials(who, root))
    return files


def contexts(files: NodeFiles) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    return files.server_context(), files.client_context()
