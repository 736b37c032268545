"""What of this machine matters to requests about containers."""

import os

from common.errors import InvalidInputError, NotFoundError
from worker.api.parse.create import Node
from worker.api.ports import NodeNetworks
from worker.containers.engine import LocalEngine
from worker.containers.record import Container
from worker.kernel.cgroup_version import cgroup_version


def node_of(engine: LocalEngine, network: NodeNetworks) -> Node:
    """The node as it is now."""

    def find(reference: str) -> Container:
        """A container that a request is about. That there is none is no 404: clients take that for the image's."""
        try:
            return engine.find(reference)
        except NotFoundError as error:
            raise InvalidInputError(error.message) from error

    return Node(
        find=find,
        cpus=os.cpu_count() or 1,
        gateway=str(network.bridge.gateway.ip),
        cgroup_version=cgroup_version(),
    )


def memory_bytes() -> int:
    """How much memory it has."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
