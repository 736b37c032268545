"""How a service is reached."""

from dataclasses import dataclass, field
from enum import StrEnum

from common.model.fields import called


class Protocol(StrEnum):
    """Transport protocol of a port."""

    TCP = "tcp"
    UDP = "udp"
    SCTP = "sctp"


class PublishMode(StrEnum):
    """Where a published port answers: on every node (ingress), or only where a task runs (host)."""

    INGRESS = "ingress"
    HOST = "host"


class EndpointMode(StrEnum):
    """How a service's name resolves: to one virtual address, or to its tasks' addresses."""

    VIP = "vip"
    DNSRR = "dnsrr"


@dataclass(frozen=True, slots=True, kw_only=True)
class PortConfig:
    """One published port. ``published_port`` 0 asks the allocator for a dynamic one (30000-32767)."""

    name: str = ""
    protocol: Protocol = Protocol.TCP
    target_port: int = 0
    published_port: int = 0
    publish_mode: PublishMode = PublishMode.INGRESS


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSpec:
    """What the user asks for."""

    mode: EndpointMode = EndpointMode.VIP
    ports: tuple[PortConfig, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualIp:
    """A service's virtual address on one network."""

    network_id: str = ""
    addr: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """What the allocator gave: written by the allocator only."""

    spec: EndpointSpec = field(default_factory=EndpointSpec)
    ports: tuple[PortConfig, ...] = ()
    virtual_ips: tuple[VirtualIp, ...] = called("VirtualIPs", default=())
