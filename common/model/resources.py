"""What a task needs and what a node has."""

from dataclasses import dataclass, field

from common.model.fields import called


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedResource:
    """One named unit of a user-defined resource, such as one GPU by its UUID."""

    kind: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscreteResource:
    """A number of interchangeable units of a user-defined resource."""

    kind: str = ""
    value: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GenericResource:
    """Either a named or a discrete resource (Engine API ``GenericResources`` items)."""

    named_resource_spec: NamedResource | None = None
    discrete_resource_spec: DiscreteResource | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """An amount: of a node's capacity, or of a reservation. Zero means none reserved."""

    nano_cpus: int = called("NanoCPUs", default=0)
    memory_bytes: int = 0
    generic_resources: tuple[GenericResource, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What a task may use at most; zero means unlimited."""

    nano_cpus: int = called("NanoCPUs", default=0)
    memory_bytes: int = 0
    pids: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceRequirements:
    """Limits (enforced by the runtime) and reservations (counted by the scheduler) of a task."""

    limits: Limit = field(default_factory=Limit)
    reservations: Resources = field(default_factory=Resources)
    swap_bytes: int | None = None
    memory_swappiness: int | None = None
