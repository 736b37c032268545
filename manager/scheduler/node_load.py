"""What one node is, and what it already carries."""

from collections.abc import Sequence

from common.model.endpoint import Protocol
from common.model.node import Availability, Node, NodeState
from common.model.resources import (
    DiscreteResource,
    GenericResource,
    NamedResource,
    Resources,
)
from manager.scheduler.demand import Demand


class NodeLoad:
    """A node with the sum of what its tasks take; compared by identity."""

    __slots__ = (
        "free_memory_bytes",
        "free_nano_cpus",
        "host_ports",
        "id",
        "is_ready",
        "node",
        "occupants",
        "taken_generic",
        "tasks",
    )

    def __init__(self, node_id: str) -> None:
        self.id = node_id
        self.node: Node | None = None
        """None before the node is known and after it was removed, while tasks still name it."""
        self.is_ready = False
        self.tasks = 0
        """Tasks that are to run here: what nodes are ranked by."""
        self.occupants = 0
        """Tasks that take something here: those, and the ones that are stopping."""
        self.free_nano_cpus = 0
        self.free_memory_bytes = 0
        self.host_ports: dict[tuple[Protocol, int], int] = {}
        self.taken_generic: list[GenericResource] = []

    def become(self, node: Node | None) -> None:
        """Takes what the node is now; what it carries stays."""
        before, after = _capacity(self.node), _capacity(node)
        self.free_nano_cpus += after.nano_cpus - before.nano_cpus
        self.free_memory_bytes += after.memory_bytes - before.memory_bytes
        self.node = node
        self.is_ready = (
            node is not None
            and node.status.state is NodeState.READY
            and node.spec.availability is Availability.ACTIVE
        )

    def take(self, demand: Demand, generic: Sequence[GenericResource]) -> None:
        """Counts what a task takes, from the moment it is assigned until it has stopped."""
        self.occupants += 1
        if demand.takes_nothing:
            return
        self.free_nano_cpus -= demand.nano_cpus
        self.free_memory_bytes -= demand.memory_bytes
        for port in demand.host_ports:
            self.host_ports[port] = self.host_ports.get(port, 0) + 1
        self.taken_generic.extend(generic)

    def give_back(self, demand: Demand, generic: Sequence[GenericResource]) -> None:
        """Frees what a task took."""
        self.occupants -= 1
        if demand.takes_nothing:
            return
        self.free_nano_cpus += demand.nano_cpus
        self.free_memory_bytes += demand.memory_bytes
        for port in demand.host_ports:
            self.host_ports[port] -= 1
            if not self.host_ports[port]:
                del self.host_ports[port]
        for resource in generic:
            self.taken_generic.remove(resource)

    def free_generic(self, kind: str) -> int:
        """How many units of a user-defined resource are free."""
        return self._free_discrete(kind) + len(self._free_named(kind))

    def claim(self, demand: Demand, claimed: Sequence[GenericResource]) -> list[GenericResource]:
        """The units that a task gets, beside those ``claimed`` in the same decision.

        Whoever claims has asked before whether there are enough.
        """
        units: list[GenericResource] = []
        for kind, count in demand.generic:
            named = [unit for unit in self._free_named(kind) if unit not in claimed][:count]
            units.extend(named)
            if rest := count - len(named):
                discrete = DiscreteResource(kind=kind, value=rest)
                units.append(GenericResource(discrete_resource_spec=discrete))
        return units

    def _free_discrete(self, kind: str) -> int:
        has = sum(_discrete(unit, kind) for unit in _capacity(self.node).generic_resources)
        return has - sum(_discrete(unit, kind) for unit in self.taken_generic)

    def _free_named(self, kind: str) -> list[GenericResource]:
        return [
            unit
            for unit in _capacity(self.node).generic_resources
            if _named_kind(unit.named_resource_spec) == kind and unit not in self.taken_generic
        ]


_NOTHING = Resources()


def _capacity(node: Node | None) -> Resources:
    return _NOTHING if node is None else node.description.resources


def _discrete(unit: GenericResource, kind: str) -> int:
    spec = unit.discrete_resource_spec
    return spec.value if spec is not None and spec.kind == kind else 0


def _named_kind(spec: NamedResource | None) -> str | None:
    return None if spec is None else spec.kind
