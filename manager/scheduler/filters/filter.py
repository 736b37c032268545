"""What a filter is."""

from typing import Protocol

from manager.scheduler.node_load import NodeLoad

UNLIMITED = 1 << 62
"""Room for more tasks than there will ever be."""


class Filter(Protocol):
    """One condition, made for one demand."""

    def room(self, load: NodeLoad) -> int:
        """How many more such tasks it lets onto the node; 0 refuses, ``UNLIMITED`` does not count them."""
        ...

    def explain(self, nodes: int) -> str:
        """Says that it refused that many nodes, in SwarmKit's words."""
        ...


def on_nodes(text: str, nodes: int) -> str:
    """``text on 1 node``, ``text on 3 nodes``."""
    return f"{text} on 1 node" if nodes == 1 else f"{text} on {nodes} nodes"
