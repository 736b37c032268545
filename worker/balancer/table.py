"""What a node's published ports should be: values only."""

from dataclasses import dataclass

from common.model.endpoint import Protocol


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Backend:
    """One task that can answer: an address on this node's bridge and the port it listens on."""

    address: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedPort:
    """A port of the host, spread evenly over backends. Without backends, connections are refused."""

    protocol: Protocol
    port: int
    backends: tuple[Backend, ...] = ()
    address: str = ""
    """Of the host: published there only, by swarmd itself and not by the kernel's rules; "" is on all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortFault:
    """A port that could not be published."""

    protocol: Protocol
    port: int
    reason: str
    """"port 8080/tcp is already in use on this host"."""
    address: str = ""
