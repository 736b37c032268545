"""What to run: the container of a task, as the user wrote it (Engine API ``ContainerSpec``)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from common.model.fields import Seconds, called


class MountType(StrEnum):
    """Where a mount's content comes from."""

    BIND = "bind"
    VOLUME = "volume"
    TMPFS = "tmpfs"
    NPIPE = "npipe"
    CLUSTER = "cluster"
    IMAGE = "image"


@dataclass(frozen=True, slots=True, kw_only=True)
class BindOptions:
    """Options of a bind mount."""

    propagation: str = ""
    non_recursive: bool = False
    create_mountpoint: bool = False
    read_only_non_recursive: bool = False
    read_only_force_recursive: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """A driver with its options: of logs, of a volume, of address management."""

    name: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeOptions:
    """Options of a volume mount."""

    no_copy: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    driver_config: Driver | None = None
    subpath: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TmpfsOptions:
    """Options of a tmpfs mount."""

    size_bytes: int = 0
    mode: int = 0
    options: tuple[tuple[str, ...], ...] = ()
    """("noexec",), ("uid", "1000"), …: further options, as of mount(8)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One mount of a container."""

    type: MountType = MountType.VOLUME
    source: str = ""
    target: str = ""
    read_only: bool = False
    consistency: str = ""
    bind_options: BindOptions | None = None
    volume_options: VolumeOptions | None = None
    tmpfs_options: TmpfsOptions | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthConfig:
    """How to find out whether a container is healthy. Zero means "inherit from the image, else Docker's default"."""

    test: tuple[str, ...] = ()
    """() inherits; ("NONE",) disables; ("CMD", …) execs; ("CMD-SHELL", line) runs a shell line."""
    interval_seconds: Seconds = 0.0
    timeout_seconds: Seconds = 0.0
    retries: int = 0
    start_period_seconds: Seconds = 0.0
    start_interval_seconds: Seconds = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsConfig:
    """The container's resolv.conf."""

    nameservers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTarget:
    """Where a secret or config appears in the container."""

    name: str = ""
    uid: str = called("UID", default="0")
    gid: str = called("GID", default="0")
    mode: int = 0o444


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretReference:
    """A secret that the container gets."""

    file: FileTarget | None = None
    secret_id: str = ""
    secret_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigReference:
    """A config that the container gets."""

    file: FileTarget | None = None
    config_id: str = ""
    config_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ulimit:
    """One resource limit (setrlimit(2))."""

    name: str = ""
    soft: int = 0
    hard: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SeccompOptions:
    """Which seccomp profile applies."""

    mode: str = ""
    profile: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppArmorOptions:
    """Whether AppArmor applies."""

    mode: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Privileges:
    """Security options of a service's container."""

    seccomp: SeccompOptions | None = None
    app_armor: AppArmorOptions | None = None
    no_new_privileges: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """The container of a task."""

    image: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    """Replaces the image's entrypoint (Docker names it so in service specs)."""
    args: tuple[str, ...] = ()
    """Replaces the image's command."""
    hostname: str = ""
    env: tuple[str, ...] = ()
    dir: str = ""
    user: str = ""
    groups: tuple[str, ...] = ()
    privileges: Privileges | None = None
    tty: bool = called("TTY", default=False)
    open_stdin: bool = False
    read_only: bool = False
    mounts: tuple[Mount, ...] = ()
    stop_signal: str = ""
    stop_grace_period_seconds: Seconds | None = None
    """None means Docker's default of 10 seconds."""
    healthcheck: HealthConfig | None = None
    hosts: tuple[str, ...] = ()
    """Lines of /etc/hosts: "address name…"."""
    dns_config: DnsConfig | None = None
    secrets: tuple[SecretReference, ...] = ()
    oom_score_adj: int = 0
    configs: tuple[ConfigReference, ...] = ()
    isolation: str = ""
    init: bool | None = None
    sysctls: Mapping[str, str] = field(default_factory=dict)
    capability_add: tuple[str, ...] = ()
    capability_drop: tuple[str, ...] = ()
    ulimits: tuple[Ulimit, ...] = ()
