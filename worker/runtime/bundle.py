"""Everything the first process of a container needs, decided: plain values, all paths of the host resolved.

``worker.containers`` makes a bundle out of a spec, an image, volumes and a network; the supervisor does what it says
and decides nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


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
    propagation: str = "rprivate"
    recursive: bool = True
    content: FileContent | None = None
    """A file of a tmpfs of the container's own, instead of a source."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """Where output goes: Docker's json-file format, rotated."""

    path: str
    """"" throws output away (log driver "none")."""
    max_bytes: int = 0
    """0 never rotates."""
    max_files: int = 1


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
    mounts: tuple[BundleMount, ...] = ()
    """In order; /etc/hosts, /etc/hostname and /etc/resolv.conf are among them."""
    network_namespace: str = ""
    """Path of a namespace to join; "" makes a new, empty one; "host" stays in the daemon's."""
    capabilities: frozenset[str] = frozenset()
    """"CAP_CHOWN", …; see ``worker.runtime.capabilities`` for Docker's default."""
    no_new_privileges: bool = False
    sysctls: Mapping[str, str] = field(default_factory=dict)
    ulimits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """"nofile": (soft, hard)."""
    oom_score_adj: int = 0
    shm_bytes: int = 64 * 1024 * 1024
    tty: bool = False
    init: bool = False
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
class RunLease:
    """Until when a container may run, by the clock that counts from the machine's start."""

    id: str
    stop_signal: int
    stop_at: float
    kill_at: float
