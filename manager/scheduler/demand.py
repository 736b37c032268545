"""What a task asks of a node, read once per spec: all tasks of a service version ask the same."""

from collections import OrderedDict
from dataclasses import dataclass, field

from typing_extensions import override

from common.constraints import Constraint, attribute, parse_constraints
from common.model.endpoint import PortConfig, Protocol, PublishMode
from common.model.node import Node
from common.model.placement import Placement, Platform
from common.model.resources import Resources
from common.model.task import Task, TaskSpec

DEMANDS_MAX = 4096
"""Specs remembered with what they ask."""


@dataclass(frozen=True, slots=True)
class Site:
    """What a node must be, whatever it carries; and the keys over whose values the tasks spread."""

    constraints: tuple[Constraint, ...] = ()
    platforms: tuple[Platform, ...] = ()
    spread_over: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Demand:
    """What one task asks of a node."""

    site: Site = field(default_factory=Site)
    nano_cpus: int = 0
    memory_bytes: int = 0
    generic: tuple[tuple[str, int], ...] = ()
    """Kinds of user-defined resources, and how many units of each."""
    host_ports: tuple[tuple[Protocol, int], ...] = ()
    max_replicas: int = 0
    """Tasks of the service on one node at most; 0 is unlimited."""
    _hash: int = field(init=False, repr=False, compare=False, default=0)

    def __post_init__(self) -> None:
        values = (self.nano_cpus, self.memory_bytes, self.generic, self.host_ports)
        object.__setattr__(self, "_hash", hash((self.site, values, self.max_replicas)))

    @override
    def __hash__(self) -> int:
        """Computed once: demands are keys on the hot path."""
        return self._hash

    @property
    def takes_nothing(self) -> bool:
        """Whether a node's load does not matter to it."""
        return not (self.nano_cpus or self.memory_bytes or self.generic or self.host_ports)


PLAIN = Demand()
"""A task that any ready node can take."""


_Asked = tuple[Placement | None, Resources | None, tuple[PortConfig, ...]]


class Demands:
    """Reads demands, remembering them by spec and, for specs that differ elsewhere, by what they ask."""

    def __init__(self) -> None:
        self._by_spec: OrderedDict[int, tuple[TaskSpec, tuple[PortConfig, ...], Demand]] = (
            OrderedDict()
        )
        self._by_asked: OrderedDict[_Asked, Demand] = OrderedDict()

    def of(self, task: Task) -> Demand:
        """What a task asks."""
        spec, ports = task.spec, task.ports
        if not ports and spec.placement is None and spec.resources is None:
            return PLAIN
        known = self._by_spec.get(id(spec))
        if known is not None and known[0] is spec and known[1] == ports:
            return known[2]
        demand = self._by_what_it_asks(spec, ports)
        self._by_spec[id(spec)] = (spec, ports, demand)
        if len(self._by_spec) > DEMANDS_MAX:
            self._by_spec.popitem(last=False)
        return demand

    def _by_what_it_asks(self, spec: TaskSpec, ports: tuple[PortConfig, ...]) -> Demand:
        reserved = None if spec.resources is None else spec.resources.reservations
        asked = (spec.placement, reserved, ports)
        demand = self._by_asked.get(asked)
        if demand is None:
            demand = self._by_asked[asked] = read_demand(spec, ports)
            if len(self._by_asked) > DEMANDS_MAX:
                self._by_asked.popitem(last=False)
        return demand


def read_demand(spec: TaskSpec, ports: tuple[PortConfig, ...] = ()) -> Demand:
    """What a task of that spec, with those published ports, asks of a node."""
    placement = spec.placement or Placement()
    host_ports = [
        (port.protocol, port.published_port)
        for port in ports
        if port.publish_mode is PublishMode.HOST and port.published_port
    ]
    if spec.resources is None:
        return Demand(
            site=_site(placement),
            host_ports=tuple(host_ports),
            max_replicas=placement.max_replicas,
        )
    reserved = spec.resources.reservations
    kinds: dict[str, int] = {}
    for resource in reserved.generic_resources:
        if resource.discrete_resource_spec is not None:
            wanted = resource.discrete_resource_spec
            kinds[wanted.kind] = kinds.get(wanted.kind, 0) + wanted.value
        elif resource.named_resource_spec is not None:
            kind = resource.named_resource_spec.kind
            kinds[kind] = kinds.get(kind, 0) + 1
    return Demand(
        site=_site(placement),
        nano_cpus=reserved.nano_cpus,
        memory_bytes=reserved.memory_bytes,
        generic=tuple(sorted((kind, count) for kind, count in kinds.items() if count > 0)),
        host_ports=tuple(host_ports),
        max_replicas=placement.max_replicas,
    )


_NOWHERE = Node(id="")


def _site(placement: Placement) -> Site:
    descriptors = [
        preference.spread.spread_descriptor
        for preference in placement.preferences
        if preference.spread is not None
    ]
    return Site(
        constraints=parse_constraints(placement.constraints),
        platforms=placement.platforms,
        # As in SwarmKit, a preference over something that nodes do not have does nothing.
        spread_over=tuple(key for key in descriptors if attribute(_NOWHERE, key) is not None),
    )
