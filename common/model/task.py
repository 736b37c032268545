"""A task: one run of a container in a slot of a service. It is never restarted; it is replaced."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from common.model.container_spec import ContainerSpec, Driver
from common.model.endpoint import PortConfig
from common.model.fields import Timestamp, called
from common.model.meta import Stored
from common.model.placement import Placement
from common.model.policies import RestartPolicy
from common.model.resources import GenericResource, ResourceRequirements


class TaskState(IntEnum):
    """SwarmKit's states and numbers; a task's state only grows. JSON: the name in lower case."""

    NEW = 0
    PENDING = 64
    ASSIGNED = 192
    ACCEPTED = 256
    PREPARING = 320
    READY = 384
    STARTING = 448
    RUNNING = 512
    COMPLETE = 576
    SHUTDOWN = 640
    FAILED = 704
    REJECTED = 768
    REMOVE = 800
    """Only ever desired: stop it, then forget it."""
    ORPHANED = 832


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkAttachmentConfig:
    """A network that a service's tasks join."""

    target: str = ""
    aliases: tuple[str, ...] = ()
    driver_opts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """What a task is to be (Engine API ``TaskTemplate``). Shared by all tasks of one service version."""

    __interned__ = True  # common.codec: equal bytes decode to the same object

    container_spec: ContainerSpec | None = None
    resources: ResourceRequirements | None = None
    restart_policy: RestartPolicy | None = None
    placement: Placement | None = None
    force_update: int = 0
    runtime: str = ""
    networks: tuple[NetworkAttachmentConfig, ...] = ()
    log_driver: Driver | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerStatus:
    """What the agent knows of the task's container."""

    container_id: str = ""
    pid: int = called("PID", default=0)
    exit_code: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PortStatus:
    """Ports that a task published in host mode, as the agent found them."""

    ports: tuple[PortConfig, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStatus:
    """The observed state.

    Up to ASSIGNED managers write it, from ACCEPTED on only the agent of ``node_id`` (and ORPHANED or REJECTED by a
    manager when that agent cannot).
    """

    timestamp: Timestamp = 0.0
    state: TaskState = TaskState.NEW
    message: str = ""
    err: str = ""
    container_status: ContainerStatus | None = None
    port_status: PortStatus | None = None
    applied_at: Timestamp = 0.0
    """When a manager recorded it: decisions compare these, never clocks of different machines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(Stored):
    """One run in a slot."""

    service_id: str = ""
    service_name: str = ""
    """Copied from the service when the task is created (SwarmKit's ServiceAnnotations)."""
    slot: int = 0
    """1, 2, … for replicated services; 0 for global ones, whose slot is the node."""
    spec: TaskSpec = field(default_factory=TaskSpec)
    spec_version: int = 0
    """``Service.spec_version`` that this task was made from."""
    ports: tuple[PortConfig, ...] = ()
    """Published ports of its service, as allocated. Written by the allocator when it makes the task PENDING."""
    node_id: str = called("NodeID", default="")
    """Written once: by the scheduler, or for global services by the orchestrator that makes the task."""
    desired_state: TaskState = TaskState.RUNNING
    """Written by the orchestrator; only grows, READY -> RUNNING included."""
    status: TaskStatus = field(default_factory=TaskStatus)
    generic_resources: tuple[GenericResource, ...] = ()
    """Assigned to it by the scheduler."""
    job_iteration: int | None = None
    service_labels: Mapping[str, str] = field(default_factory=dict)
    """Copied from the service when the task is created, for ``{{.Service.Labels.…}}`` in its spec."""
    running_at: Timestamp = 0.0
    """When a manager recorded that it runs; 0.0 until then. Written by the store with the first observation of
    RUNNING, and kept: an update tells by it how long a task ran that has ended since."""
