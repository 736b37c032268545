"""A container as the local engine keeps it: what was asked for, what it got, how it fares."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from common.model.container_spec import ContainerSpec, Driver, HealthConfig
from common.model.fields import Timestamp
from common.model.resources import ResourceRequirements
from worker.network.attachment import Attachment


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """When a container that nobody's task is starts again (Engine API ``RestartPolicy``)."""

    name: str = "no"
    """"no", "always", "unless-stopped" or "on-failure"."""
    maximum_retry_count: int = 0
    """Of "on-failure"; 0 is no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceMapping:
    """A device of the host that the container gets."""

    path_on_host: str
    path_in_container: str
    cgroup_permissions: str = "rwm"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRequest:
    """Devices by what they are (``--gpus``): found by CDI."""

    driver: str = ""
    count: int = 0
    """-1 is all."""
    device_ids: tuple[str, ...] = ()
    capabilities: tuple[tuple[str, ...], ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PortBinding:
    """A port of the container that is published on the host."""

    port: int
    protocol: str = "tcp"
    host_ip: str = ""
    host_port: int = 0
    """0: any free one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostOptions:
    """What ``docker run`` can ask for beyond a service's container (Engine API ``HostConfig``)."""

    privileged: bool = False
    pid_mode: str = ""
    """"" (its own), "host" or "container:<full id>"; so are the next three."""
    ipc_mode: str = ""
    """Also "private", "shareable" and "none"."""
    uts_mode: str = ""
    cgroupns_mode: str = ""
    userns_mode: str = ""
    """"" is as the daemon is set, "host" is without a user namespace."""
    seccomp_profile: str = ""
    """"" is the default one, "unconfined", or the JSON text of one."""
    masked_paths: tuple[str, ...] | None = None
    """None is the default list."""
    read_only_paths: tuple[str, ...] | None = None
    devices: tuple[DeviceMapping, ...] = ()
    device_cgroup_rules: tuple[str, ...] = ()
    device_requests: tuple[DeviceRequest, ...] = ()
    shm_bytes: int = 0
    """0 is the default of 64 MiB."""
    cpu_shares: int = 0
    cpu_period_us: int = 0
    cpu_quota_us: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    blkio_weight: int = 0
    memory_swappiness: int = -1
    memory_swap_bytes: int = 0
    """Memory and swap together, as Docker counts: 0 is twice the memory, -1 unlimited."""
    oom_kill_disable: bool = False
    restart: RestartPolicy = field(default_factory=RestartPolicy)
    auto_remove: bool = False
    runtime: str = ""
    """"" or "swarmd" is our own; else an OCI runtime on PATH: "crun", "runc"."""
    port_bindings: tuple[PortBinding, ...] = ()
    exposed_ports: tuple[str, ...] = ()
    """"80/tcp"."""
    publish_all_ports: bool = False
    stdin_once: bool = False
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    domainname: str = ""
    binds: tuple[str, ...] = ()
    """As the user wrote them, to be shown; what they mean is among the spec's mounts."""
    console_size: tuple[int, int] = (0, 0)
    stop_timeout_seconds: float | None = None
    """Of ``docker stop`` without ``-t``; None is 10 seconds."""
    volumes_from: tuple[str, ...] = ()
    """As the user wrote them, to be shown; what they mean is among the spec's mounts."""
    extra: Mapping[str, str] = field(default_factory=dict)
    """What is only shown again: "MacAddress", "Annotations", … as JSON texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerConfig:
    """What to make. The agent makes one out of a task, the Engine API out of what ``docker run`` sends."""

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
    """"bridge", "host", "none" or "container:<full id>"."""
    host: HostOptions = field(default_factory=HostOptions)
    entrypoint_given: tuple[str, ...] | None = None
    """As ``docker run`` gave it, to be shown; what runs is ``Container.argv``."""
    cmd_given: tuple[str, ...] | None = None


class ContainerState(StrEnum):
    """Engine API container states."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    """It has ended, and starts again after a while."""
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
    driver: str = ""
    mode: str = ""
    propagation: str = ""


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
    restart_count: int = 0
    is_stopped_by_user: bool = False
    """Somebody asked for its end: its restart policy leaves it alone until it is started again. With "always" swarmd
    does that when it starts itself, as Docker does."""
    restart_at: Timestamp = 0.0
    """When it starts again, while it is RESTARTING."""
    restart_delay_seconds: float = 0.0
    """How long it has waited before its latest start of itself; the next wait is twice as long."""
    ports: tuple[PortBinding, ...] = ()
    """What is published of it while it runs, each with its port of the host."""
    log_file: str = "log"
    """The name of its log's file in its directory."""

    @property
    def has_process(self) -> bool:
        """Whether its first process lives."""
        return self.state in (ContainerState.RUNNING, ContainerState.PAUSED)

    @property
    def is_active(self) -> bool:
        """What Docker calls running: it runs, or will again of itself."""
        return self.has_process or self.state is ContainerState.RESTARTING
