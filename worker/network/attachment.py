"""A container's place on a network, as values."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """The container's place on its network."""

    network: str = "bridge"
    address: str = ""
    """"" without a network of its own."""
    prefix_length: int = 0
    gateway: str = ""
    mac_address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """A container's network."""

    namespace: str
    """Path of the network namespace."""
    attachment: Attachment
    nameservers: tuple[str, ...] = ()
    """For /etc/resolv.conf: the host's, without loopback ones."""
    search: tuple[str, ...] = ()
