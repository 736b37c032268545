"""Everything the first process of a container needs, decided: plain values, all paths of the host resolved.

``worker.containers`` makes a bundle out of a spec, an image, volumes and a network; the supervisor does what it says
and decides nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.runtime.confinement import MASKED_PATHS, READ_ONLY_PATHS


@dataclass(frozen=True, slots=True, kw_only=True)
class RootFs:
    """An overlay: read-only layers, topmost first, and a writable one."""

    lower: tuple[str, ...]
    upper: str
    work: str
    merged: str
    """An empty directory of the host; the overlay is mounted on it in the container's own mount namespace only."""
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FileContent:
    """A file that is made in the container's own memory, and that no process in it can change."""

    data: bytes = field(repr=False)
    uid: int = 0
    gid: int = 0
    mode: int = 0o444


DEFAULT_TMPFS_FLAGS = 2 | 4 | 8
"""No set-user-id programs, no devices, no programs at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleMount:
    """A mount inside the container."""

    target: str
    """Absolute path in the container; made when it is missing."""
    source: str = ""
    """A file or directory of the host to bind; "" for a tmpfs."""
    read_only: bool = False
    tmpfs_size_bytes: int = 0
    """0 is unlimited, as Docker's."""
    tmpfs_mode: int = 0o1777
    tmpfs_flags: int = DEFAULT_TMPFS_FLAGS
    """As mount(2) has them, besides that of read-only."""
    tmpfs_data: str = ""
    """Further options of the file system: "uid=1000,nr_inodes=10"."""
    propagation: str = "rprivate"
    recursive: bool = True
    content: FileContent | None = None
    """A file of a tmpfs of the container's own, instead of a source."""
    read_only_below: bool = True
    """A read-only one is so with all that is mounted below its source, too."""
    maps_owners: bool = False
    """In a container with a user namespace of its own, owners of the source's files are its ids: the source is ours."""
    subpath: str = ""
    """A file or directory below the source that is bound instead of it; no link on the way leads out of the source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupLimits:
    """Zero means unlimited."""

    cpu_quota_us: int = 0
    """Of every ``cpu_period_us``."""
    cpu_period_us: int = 100_000
    memory_bytes: int = 0
    memory_swap_bytes: int = 0
    """Memory and swap together, as Docker counts; 0 with a memory limit is twice that limit, -1 unlimited."""
    memory_reservation_bytes: int = 0
    pids: int = 0
    cpu_shares: int = 0
    """Docker's, 2 to 262144; v2 has it converted to a weight."""
    cpuset_cpus: str = ""
    """"0-2,4"; "" is all."""
    cpuset_mems: str = ""
    blkio_weight: int = 0
    """10 to 1000."""
    memory_swappiness: int = -1
    """0 to 100; -1 is the machine's. v1 only, as in Docker."""
    oom_kill_disable: bool = False
    """v1 only, as in Docker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """Where output goes, and in which form."""

    path: str
    """"" throws output away (log driver "none")."""
    max_bytes: int = 0
    """0 never rotates."""
    max_files: int = 1
    driver: str = "json-file"
    """The form: "json-file" (Docker's), "local", "journald"."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """What the driver says with each line: a tag, chosen labels and variables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceNode:
    """A device that the container finds, and what it may do with it."""

    path: str
    """In the container."""
    kind: str
    """"c" or "b"."""
    major: int
    minor: int
    mode: int = 0o666
    uid: int = 0
    gid: int = 0
    access: str = "rwm"
    """Of the device control group: letters of "rwm"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdMapping:
    """A run of user or group ids: of the container, of the host, and how many (user_namespaces(7))."""

    container_id: int
    host_id: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespaces:
    """Which namespaces a container shares.

    Each is "" (a new one), "host", or "container:" and the full id of a container that runs; ``ipc`` also "none",
    a new one without /dev/shm.
    """

    pid: str = ""
    ipc: str = ""
    uts: str = ""
    cgroup: str = ""
    uid_mappings: tuple[IdMapping, ...] = ()
    """A user namespace of its own; () shares the host's."""
    gid_mappings: tuple[IdMapping, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A container's first process and its world."""

    id: str
    rootfs: RootFs
    argv: tuple[str, ...]
    env: tuple[str, ...] = ()
    cwd: str = "/"
    user: str = ""
    """"", "uid", "name", "uid:gid", "name:group": looked up in the container's own /etc/passwd and /etc/group."""
    groups: tuple[str, ...] = ()
    hostname: str = ""
    domainname: str = ""
    mounts: tuple[BundleMount, ...] = ()
    """In order; /etc/hosts, /etc/hostname and /etc/resolv.conf are among them."""
    network_namespace: str = ""
    """Path of a namespace to join; "" makes a new, empty one; "host" stays in the daemon's; "container:" and the full
    id of one that runs joins that one's."""
    namespaces: Namespaces = field(default_factory=Namespaces)
    capabilities: frozenset[str] = frozenset()
    """"CAP_CHOWN", …; see ``worker.runtime.capabilities`` for Docker's default."""
    no_new_privileges: bool = False
    seccomp: bytes = field(default=b"", repr=False)
    """The filter's BPF program (an array of ``struct sock_filter``); b"" is unconfined."""
    masked_paths: tuple[str, ...] = MASKED_PATHS
    read_only_paths: tuple[str, ...] = READ_ONLY_PATHS
    privileged: bool = False
    """/sys and control groups can be written to; masks, capabilities and devices are said by the other fields."""
    devices: tuple[DeviceNode, ...] = ()
    """Besides Docker's six."""
    device_rules: tuple[str, ...] = ()
    """Of the device control group, besides the defaults and those of ``devices``: "c 1:* rwm", "a"."""
    sysctls: Mapping[str, str] = field(default_factory=dict)
    ulimits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """"nofile": (soft, hard)."""
    oom_score_adj: int = 0
    shm_bytes: int = 64 * 1024 * 1024
    tty: bool = False
    console_size: tuple[int, int] = (0, 0)
    """Rows and columns of the terminal at its beginning."""
    open_stdin: bool = False
    """The process reads what is written to it (``Streams.write``); otherwise it reads /dev/null."""
    stdin_once: bool = False
    """Its input ends when the first who was attached to it leaves."""
    init: bool = False
    runtime: str = ""
    """"" is our own; else the path of an OCI runtime that is to run it."""
    seccomp_rules: bytes = field(default=b"", repr=False)
    """The filter once more, for an OCI runtime: ``linux.seccomp`` of its specification as JSON; b"" is unconfined."""
    limits: CgroupLimits = field(default_factory=CgroupLimits)
    log: LogOptions = field(default_factory=lambda: LogOptions(path=""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a container's first process ended."""

    id: str
    code: int
    """0-255; 128 + signal when a signal ended it."""
    oom_killed: bool
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecResult:
    """What a further process in a container said."""

    code: int
    """Exit code; -1 when its time was up and it was killed."""
    output: bytes
    """stdout and stderr together, bounded by the caller's ``output_max_bytes``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FurtherProcess:
    """A further process in a container that runs (``docker exec``); what is not said is as for the first."""

    argv: tuple[str, ...]
    env: tuple[str, ...] = ()
    """Besides the container's; the same name replaces it."""
    cwd: str = ""
    user: str = ""
    privileged: bool = False
    """With all capabilities; the container's filter stays, as in Docker."""
    tty: bool = False
    console_size: tuple[int, int] = (0, 0)
    open_stdin: bool = False
    """Otherwise it reads /dev/null."""
    detached: bool = False
    """Nobody reads what it writes: /dev/null."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a container's control group uses now, and has used (``docker stats``)."""

    cpu_ns: int = 0
    cpu_user_ns: int = 0
    cpu_system_ns: int = 0
    throttled_periods: int = 0
    periods: int = 0
    throttled_ns: int = 0
    memory_bytes: int = 0
    """Pages of files included. Docker takes off ``memory_detail["inactive_file"]`` (v1: "total_inactive_file")."""
    memory_limit_bytes: int = 0
    """0 is unlimited."""
    memory_detail: Mapping[str, int] = field(default_factory=dict)
    """memory.stat as it is."""
    pids: int = 0
    pids_limit: int = 0
    block_io: tuple[tuple[int, int, str, int], ...] = ()
    """Major, minor, "read" or "write", bytes."""
    per_cpu_ns: tuple[int, ...] = ()
    """v1 only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLease:
    """Until when a container may run, by the clock that counts from the machine's start."""

    id: str
    stop_signal: int
    stop_at: float
    kill_at: float
