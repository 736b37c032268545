"""What of this machine matters to requests about containers."""

import os

from worker.api.parse.create import Node
from worker.api.ports import NodeNetworks
from worker.containers.engine import LocalEngine
from worker.kernel.cgroup_version import cgroup_version


def node_of(engine: LocalEngine, network: NodeNetworks) -> Node:
    """The node as it is now."""
    return Node(
        find=engine.find,
        cpus=os.cpu_count() or 1,
        gateway=str(network.bridge.gateway.ip),
        cgroup_version=cgroup_version(),
    )


def memory_bytes() -> int:
    """How much memory it has."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
