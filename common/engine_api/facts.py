"""What a node's own engine knows of itself and its machine: the local part of ``GET /info`` and ``/version``."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """Told by the worker half, rendered by ``GET /info``; names as in the Engine API's ``SystemInfo``."""

    id: str
    name: str
    """The host's name."""
    server_version: str
    operating_system: str = ""
    """For people: "Debian GNU/Linux 12 (bookworm)"."""
    os_version: str = ""
    architecture: str = ""
    """As uname says it: "x86_64"."""
    kernel_version: str = ""
    ncpu: int = 0
    mem_total: int = 0

    docker_root_dir: str = ""
    driver: str = "overlay2"
    driver_status: tuple[tuple[str, str], ...] = ()
    logging_driver: str = "json-file"
    cgroup_driver: str = "cgroupfs"
    cgroup_version: str = "2"
    """"1" or "2"."""

    containers_running: int = 0
    containers_paused: int = 0
    containers_stopped: int = 0
    images: int = 0

    memory_limit: bool = True
    swap_limit: bool = True
    cpu_cfs_period: bool = True
    cpu_cfs_quota: bool = True
    cpu_shares: bool = True
    cpu_set: bool = True
    pids_limit: bool = True
    oom_kill_disable: bool = False
    ipv4_forwarding: bool = True
    debug: bool = False
    n_fd: int = 0

    labels: tuple[str, ...] = ()
    """"key=value" each."""
    volume_plugins: tuple[str, ...] = ("local",)
    network_plugins: tuple[str, ...] = ("bridge", "host", "null")
    log_plugins: tuple[str, ...] = ("json-file",)
    runtimes: Mapping[str, str] = field(default_factory=dict)
    """Name -> path."""
    default_runtime: str = ""
    security_options: tuple[str, ...] = ()
    """"name=seccomp,profile=builtin" and the like."""
    default_address_pools: tuple[tuple[str, int], ...] = ()
    """("172.17.0.0/12", 20): base and size."""
    live_restore_enabled: bool = True
    warnings: tuple[str, ...] = ()
