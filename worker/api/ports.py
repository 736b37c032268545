"""What the local half of the API needs of the node's network."""

import ipaddress
from typing import Protocol


class BridgeNetwork(Protocol):
    """A bridge and its addresses (``worker.network.bridge.Bridge`` is one)."""

    @property
    def name(self) -> str:
        """Of the link."""
        ...

    @property
    def subnet(self) -> ipaddress.IPv4Network:
        """Where its containers are."""
        ...

    @property
    def gateway(self) -> ipaddress.IPv4Interface:
        """Its own address."""
        ...


class NodeNetworks(Protocol):
    """The node's networks (``worker.network.node_network.NodeNetwork`` is it)."""

    @property
    def bridge(self) -> BridgeNetwork:
        """The default bridge."""
        ...
