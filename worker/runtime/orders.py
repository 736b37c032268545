"""What the supervisor gets: plain values, checked, nothing left to decide or to look up by name (``order_of``)."""

from typing import TypedDict

from worker.kernel.device_rules import Rule


class ProcessOrder(TypedDict):
    """What makes a process in a container, the first one or a further one."""

    argv: list[str]
    env: list[str]
    cwd: str
    user: str
    groups: list[str]
    capabilities: int
    no_new_privileges: bool
    ulimits: list[tuple[int, int, int]]
    oom_score_adj: int
    seccomp: bytes
    runtime: str
    """The path of the OCI runtime that makes it; "" for ours."""
    rows: int
    """Of its terminal, if it has one; so is the next."""
    columns: int
    shares_processes: bool
    """It is in a pid namespace of others, who outlive it."""
    root_uid: int
    """The id on the host of root in its user namespace; 0 without one of its own. So is the next."""
    root_gid: int


class FileOrder(TypedDict):
    """A file in the container's own memory; ``FileContent`` says what its fields mean."""

    data: bytes
    uid: int
    gid: int
    mode: int


class MountOrder(TypedDict):
    """A mount inside the container; ``BundleMount`` says what its fields mean."""

    target: str
    source: str
    read_only: bool
    tmpfs_size_bytes: int
    tmpfs_mode: int
    tmpfs_flags: int
    tmpfs_data: str
    propagation: str
    recursive: bool
    file: FileOrder | None
    subpath: str
    read_only_below: bool
    maps_owners: bool


class NamespacesOrder(TypedDict):
    """Each "" (its own), "host" or "container:" and an id; ``ipc`` also "none"."""

    pid: str
    ipc: str
    uts: str
    cgroup: str


class DeviceOrder(TypedDict):
    """A device node; ``DeviceNode`` says what its fields mean."""

    path: str
    kind: str
    major: int
    minor: int
    mode: int
    uid: int
    gid: int


class StartOrder(TypedDict):
    """A container."""

    id: str
    process: ProcessOrder
    seccomp_rules: bytes
    """The filter once more, for an OCI runtime; b"" is unconfined."""
    lower: list[str]
    upper: str
    work: str
    merged: str
    root_read_only: bool
    hostname: str
    domainname: str
    mounts: list[MountOrder]
    network_namespace: str
    namespaces: NamespacesOrder
    uid_mappings: list[tuple[int, int, int]]
    """In the container, on the host, how many; [] has no user namespace of its own. So are the next."""
    gid_mappings: list[tuple[int, int, int]]
    terminal_gid: int
    """Whom terminals belong to: the group "tty"."""
    sysctls: list[tuple[str, str]]
    shm_bytes: int
    init: bool
    tty: bool
    open_stdin: bool
    stdin_once: bool
    masked_paths: list[str]
    read_only_paths: list[str]
    privileged: bool
    devices: list[DeviceOrder]
    device_rules: list[Rule]
    limits: dict[str, int | str]
    log_path: str
    log_max_bytes: int
    log_max_files: int
    log_driver: str
    log_attributes: list[tuple[str, str]]


class ExecOrder(TypedDict):
    """A further process in a container: the container's own process order with another program."""

    id: str
    argv: list[str]
    timeout_ms: int
    output_max_bytes: int


class SpawnOrder(TypedDict):
    """A further process that somebody talks to; "" and [] are as the first process has it."""

    id: str
    argv: list[str]
    env: list[str]
    """Besides the first process's."""
    cwd: str
    user: str
    privileged: bool
    tty: bool
    rows: int
    columns: int
