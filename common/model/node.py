"""A node: what the user wants of it, what it is, how it fares."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from common.model.fields import Bytes, called
from common.model.meta import Stored
from common.model.placement import Platform
from common.model.resources import Resources


class Role(StrEnum):
    """Whether the node takes part in deciding."""

    WORKER = "worker"
    MANAGER = "manager"


class Availability(StrEnum):
    """Whether the node takes tasks: new ones, only those it has, none."""

    ACTIVE = "active"
    PAUSE = "pause"
    DRAIN = "drain"


class NodeState(StrEnum):
    """How the managers see the node's agent."""

    UNKNOWN = "unknown"
    DOWN = "down"
    READY = "ready"
    DISCONNECTED = "disconnected"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSpec:
    """What the user wants of the node."""

    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    role: Role = Role.WORKER
    availability: Availability = Availability.ACTIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """Something the engine can do, by kind and name."""

    type: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The engine that runs containers there."""

    engine_version: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    plugins: tuple[Plugin, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsInfo:
    """Whom the node trusts."""

    trust_root: str = ""
    cert_issuer_subject: Bytes = b""
    cert_issuer_public_key: Bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDescription:
    """What the node is and has; reported by its agent."""

    hostname: str = ""
    platform: Platform = field(default_factory=Platform)
    resources: Resources = field(default_factory=Resources)
    engine: Engine = field(default_factory=Engine)
    tls_info: TlsInfo | None = called("TLSInfo", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """How the node fares; written by the dispatcher."""

    state: NodeState = NodeState.UNKNOWN
    message: str = ""
    addr: str = ""


class Reachability(StrEnum):
    """Whether the other managers reach this one."""

    UNKNOWN = "unknown"
    UNREACHABLE = "unreachable"
    REACHABLE = "reachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerStatus:
    """The node as a manager."""

    leader: bool = False
    reachability: Reachability = Reachability.UNKNOWN
    addr: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node(Stored):
    """A host of the cluster."""

    spec: NodeSpec = field(default_factory=NodeSpec)
    description: NodeDescription = field(default_factory=NodeDescription)
    status: NodeStatus = field(default_factory=NodeStatus)
