"""What the leader and the agents of the dispatcher's benchmark know alike: names, addresses, certificates."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common.clock import SystemClock
from common.model.node import NodeDescription, Role, TlsInfo
from common.model.placement import Platform
from common.model.resources import Resources
from common.pki.authority import Root, new_request, new_root, sign
from common.pki.identity import PeerIdentity
from manager.raft.peers import Peer

CLUSTER_ID: Final = "cluster0"
HOST, FIRST_PORT = "127.0.0.1", 42200
LIFETIME_SECONDS: Final = 24 * 3600.0
_ROOT_CERTIFICATE, _ROOT_KEY = "root.crt", "root.key"


def peer(number: int) -> Peer:
    """The manager of that number."""
    return Peer(
        member_id=f"{number + 1:016x}",
        node_id=f"manager{number:018d}",
        address=f"{HOST}:{FIRST_PORT + number}",
    )


def agent_id(number: int) -> str:
    """A node's id, as long as those that are drawn."""
    return f"agent{number:020d}"


def agent_address(number: int) -> str:
    """The loopback address that the node connects from: each has its own, as hosts have."""
    return f"127.{1 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def description(number: int, trust: TlsInfo) -> NodeDescription:
    """What the node says of itself."""
    return NodeDescription(
        hostname=f"host-{number}",
        platform=Platform(os="linux", architecture="x86_64"),
        resources=Resources(nano_cpus=16 * 10**9, memory_bytes=64 << 30),
        tls_info=trust,
    )


def make_root(directory: Path) -> None:
    """The cluster's authority, for the processes to sign with."""
    root = new_root(SystemClock().now())
    (directory / _ROOT_CERTIFICATE).write_bytes(root.certificate)
    (directory / _ROOT_KEY).write_bytes(root.key)


def root_in(directory: Path) -> Root:
    """The cluster's authority."""
    return Root(
        certificate=(directory / _ROOT_CERTIFICATE).read_bytes(),
        key=(directory / _ROOT_KEY).read_bytes(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a node shows to the others, and whom it believes."""

    root: bytes
    certificate: Path
    key: Path


def identity(directory: Path, node_id: str, role: Role) -> Identity:
    """The certificate of a node, made on first use. Nobody waits for the disk: there are thousands."""
    root = root_in(directory)
    certificate, key = directory / f"{node_id}.crt", directory / f"{node_id}.key"
    if not key.exists():
        private, request = new_request()
        who = PeerIdentity(node_id=node_id, role=role, cluster_id=CLUSTER_ID)
        now = SystemClock().now()
        certificate.write_bytes(sign(root, request, who, now, LIFETIME_SECONDS))
        key.write_bytes(private)
    return Identity(root=root.certificate, certificate=certificate, key=key)
