"""What members of the replication need to talk over TLS in a benchmark: certificates, a listener and links."""

import contextlib
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from common.clock import Clock, SystemClock
from common.model.node import Role
from common.pki.authority import new_request, new_root, sign
from common.pki.files import Credentials, NodeFiles
from common.pki.identity import PeerIdentity
from common.pki.tls import Tls
from manager.listener import ClusterListener
from manager.raft.peers import Peer, RaftStatus
from manager.raft.tls_links import TlsLinks

HOST, FIRST_PORT = "127.0.0.1", 42100
CLUSTER_ID = "cluster0"
LIFETIME_SECONDS = 24 * 3600.0


def peer(number: int) -> Peer:
    """The member of that number."""
    return Peer(
        member_id=f"{number:016x}", node_id=f"node{number}", address=f"{HOST}:{FIRST_PORT + number}"
    )


def write_certificates(directory: Path, count: int) -> None:
    """A root, and a manager's certificate for each member."""
    now = SystemClock().now()
    root = new_root(now)
    for number in range(count):
        key, request = new_request()
        who = PeerIdentity(node_id=peer(number).node_id, role=Role.MANAGER, cluster_id=CLUSTER_ID)
        certificate = sign(root, request, who, now, LIFETIME_SECONDS)
        place = _files(directory, number)
        _place(directory, number).mkdir()
        place.write(Credentials(root=root.certificate, certificate=certificate, key=key))


@contextlib.asynccontextmanager
async def listening_links(
    directory: Path, number: int, status: Callable[[], RaftStatus], clock: Clock
) -> AsyncIterator[TlsLinks]:
    """Links of a member, and the listener where others dial them."""
    tls = Tls(_files(directory, number))
    links = TlsLinks(
        peer(number),
        CLUSTER_ID,
        tls.client,
        status,
        clock=clock,
        chance=random.Random(number),
    )
    async with ClusterListener(peer(number).address, tls.server, CLUSTER_ID, [links.route()]):
        yield links


def _place(directory: Path, number: int) -> Path:
    return directory / f"certificates{number}"


def _files(directory: Path, number: int) -> NodeFiles:
    return NodeFiles(_place(directory, number))
