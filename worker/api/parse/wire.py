"""The bodies of requests about containers, field by field as Docker's clients send them.

Each field of the API stands here, those that are refused too: nothing that a client asks for is overlooked.
``worker.api.parse.create`` says what becomes of each.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from common.model.container_spec import (
    BindOptions,
    HealthConfig,
    TmpfsOptions,
    Ulimit,
    VolumeOptions,
)
from common.model.fields import called
from worker.containers.record import DeviceRequest, RestartPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """The value of a key that only stands there: ``{"80/tcp": {}}``."""


Keys = Mapping[str, Nothing | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class WireLogConfig:
    """The log driver."""

    type: str = ""
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WirePortBinding:
    """Where on the host a port is published."""

    host_ip: str = ""
    host_port: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WireThrottle:
    """A limit of a block device."""

    path: str = ""
    rate: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WireWeight:
    """A weight of a block device."""

    path: str = ""
    weight: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WireDevice:
    """A device of the host."""

    path_on_host: str = ""
    path_in_container: str = ""
    cgroup_permissions: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WireImageOptions:
    """Options of an image mount."""

    subpath: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WireMount:
    """One of ``Mounts``."""

    type: str = ""
    source: str = ""
    target: str = ""
    read_only: bool = False
    consistency: str = ""
    bind_options: BindOptions | None = None
    volume_options: VolumeOptions | None = None
    image_options: WireImageOptions | None = None
    tmpfs_options: TmpfsOptions | None = None
    cluster_options: Nothing | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WireResources:
    """What a container may use: of ``HostConfig``, and the body of an update."""

    cpu_shares: int = 0
    memory: int = 0
    nano_cpus: int = 0
    cgroup_parent: str = ""
    blkio_weight: int = 0
    blkio_weight_device: tuple[WireWeight, ...] = ()
    blkio_device_read_bps: tuple[WireThrottle, ...] = ()
    blkio_device_write_bps: tuple[WireThrottle, ...] = ()
    blkio_device_read_iops: tuple[WireThrottle, ...] = called("BlkioDeviceReadIOps", default=())
    blkio_device_write_iops: tuple[WireThrottle, ...] = called("BlkioDeviceWriteIOps", default=())
    cpu_period: int = 0
    cpu_quota: int = 0
    cpu_realtime_period: int = 0
    cpu_realtime_runtime: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    devices: tuple[WireDevice, ...] = ()
    device_cgroup_rules: tuple[str, ...] = ()
    device_requests: tuple[DeviceRequest, ...] = ()
    kernel_memory: int = 0
    kernel_memory_tcp: int = called("KernelMemoryTCP", default=0)
    memory_reservation: int = 0
    memory_swap: int = 0
    memory_swappiness: int | None = None
    oom_kill_disable: bool = False
    pids_limit: int | None = None
    ulimits: tuple[Ulimit, ...] = ()
    cpu_count: int = 0
    cpu_percent: int = 0
    io_maximum_iops: int = called("IOMaximumIOps", default=0)
    io_maximum_bandwidth: int = called("IOMaximumBandwidth", default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class WireUpdate(WireResources):
    """The body of ``POST /containers/{id}/update``."""

    restart_policy: RestartPolicy | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WireHostConfig(WireResources):
    """``HostConfig``: what depends on the host."""

    binds: tuple[str, ...] = ()
    container_id_file: str = called("ContainerIDFile", default="")
    log_config: WireLogConfig = field(default_factory=WireLogConfig)
    network_mode: str = ""
    port_bindings: Mapping[str, tuple[WirePortBinding, ...] | None] = field(default_factory=dict)
    restart_policy: RestartPolicy = field(default_factory=RestartPolicy)
    auto_remove: bool = False
    volume_driver: str = ""
    volumes_from: tuple[str, ...] = ()
    mounts: tuple[WireMount, ...] = ()
    console_size: tuple[int, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    cgroupns_mode: str = ""
    dns: tuple[str, ...] = called("Dns", default=())
    dns_options: tuple[str, ...] = called("DnsOptions", default=())
    dns_search: tuple[str, ...] = called("DnsSearch", default=())
    extra_hosts: tuple[str, ...] = ()
    group_add: tuple[str, ...] = ()
    ipc_mode: str = ""
    cgroup: str = ""
    links: tuple[str, ...] = ()
    oom_score_adj: int = 0
    pid_mode: str = ""
    privileged: bool = False
    publish_all_ports: bool = False
    readonly_rootfs: bool = False
    security_opt: tuple[str, ...] = ()
    storage_opt: Mapping[str, str] = field(default_factory=dict)
    tmpfs: Mapping[str, str] = field(default_factory=dict)
    uts_mode: str = called("UTSMode", default="")
    userns_mode: str = ""
    shm_size: int = 0
    sysctls: Mapping[str, str] = field(default_factory=dict)
    runtime: str = ""
    isolation: str = ""
    masked_paths: tuple[str, ...] | None = None
    readonly_paths: tuple[str, ...] | None = None
    init: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WireAddresses:
    """Addresses that a client chooses."""

    ipv4_address: str = called("IPv4Address", default="")
    ipv6_address: str = called("IPv6Address", default="")
    link_local_ips: tuple[str, ...] = called("LinkLocalIPs", default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class WireEndpoint:
    """How a container is to be on a network; the rest of it is told and never asked."""

    ipam_config: WireAddresses | None = called("IPAMConfig", default=None)
    links: tuple[str, ...] = ()
    mac_address: str = ""
    aliases: tuple[str, ...] = ()
    driver_opts: Mapping[str, str] = field(default_factory=dict)
    gw_priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WireNetworking:
    """``NetworkingConfig``."""

    endpoints_config: Mapping[str, WireEndpoint | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WireCreate:
    """The body of ``POST /containers/create``."""

    hostname: str = ""
    domainname: str = ""
    user: str = ""
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    exposed_ports: Keys = field(default_factory=dict)
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    env: tuple[str, ...] = ()
    cmd: tuple[str, ...] | None = None
    healthcheck: HealthConfig | None = None
    args_escaped: bool = False
    image: str = ""
    volumes: Keys = field(default_factory=dict)
    working_dir: str = ""
    entrypoint: tuple[str, ...] | None = None
    network_disabled: bool = False
    mac_address: str = ""
    on_build: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = ""
    stop_timeout: int | None = None
    shell: tuple[str, ...] = ()
    host_config: WireHostConfig = field(default_factory=WireHostConfig)
    networking_config: WireNetworking = field(default_factory=WireNetworking)


@dataclass(frozen=True, slots=True, kw_only=True)
class WireExec:
    """The body of ``POST /containers/{id}/exec``."""

    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    console_size: tuple[int, ...] = ()
    detach_keys: str = ""
    tty: bool = False
    env: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    privileged: bool = False
    user: str = ""
    working_dir: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WireExecStart:
    """The body of ``POST /exec/{id}/start``."""

    detach: bool = False
    tty: bool = False
    console_size: tuple[int, ...] = ()
