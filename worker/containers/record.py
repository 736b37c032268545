"""A container as the local engine keeps it: what was asked for, what it got, how it fares."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from common.model.container_spec import ContainerSpec, Driver, HealthConfig
from common.model.fields import Timestamp
from common.model.resources import ResourceRequirements
from worker.network.attachment import Attachment


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerConfig:
    """What to make. The agent makes one out of a task; the Engine API's ``docker run`` will, too."""

    name: str
    """Unique; for a task ``service.slot.taskid``, as Docker names it."""
    spec: ContainerSpec
    resources: ResourceRequirements = field(default_factory=ResourceRequirements)
    labels: Mapping[str, str] = field(default_factory=dict)
    """``com.docker.swarm.task.id`` and its siblings, besides ``spec.labels``."""
    log_driver: Driver | None = None
    task_id: str = ""
    """Empty for a container that is nobody's task."""
    network: str = "bridge"
    """"bridge", "host" or "none"."""


class ContainerState(StrEnum):
    """Engine API container states."""

    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"
    DEAD = "dead"
    """Could not be removed in full; it is tried again."""


class Health(StrEnum):
    """Engine API health states."""

    NONE = "none"
    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One run of a healthcheck; the last five are kept."""

    started_at: Timestamp = 0.0
    ended_at: Timestamp = 0.0
    exit_code: int = 0
    output: str = ""
    """At most 4,096 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthStatus:
    """How the healthcheck sees the container."""

    state: Health = Health.NONE
    failing_streak: int = 0
    log: tuple[Probe, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MountPoint:
    """A mount as made (Engine API ``MountPoint``)."""

    type: str = ""
    name: str = ""
    source: str = ""
    destination: str = ""
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container of this node. A new value is made at each change; it is on disk before anyone sees it."""

    id: str
    config: ContainerConfig
    image_id: str
    created_at: Timestamp
    argv: tuple[str, ...] = ()
    """What runs: entrypoint and arguments, from spec and image."""
    env: tuple[str, ...] = ()
    working_dir: str = "/"
    user: str = ""
    stop_signal: str = "SIGTERM"
    state: ContainerState = ContainerState.CREATED
    pid: int = 0
    started_at: Timestamp = 0.0
    finished_at: Timestamp = 0.0
    exit_code: int = 0
    oom_killed: bool = False
    error: str = ""
    health: HealthStatus = field(default_factory=HealthStatus)
    attachment: Attachment = field(default_factory=Attachment)
    mounts: tuple[MountPoint, ...] = ()
    healthcheck: HealthConfig | None = None
    """The check that applies, inherited from the image where the spec is silent; None when there is none."""
