"""What the supervisor gets for a bundle, a further process or new limits: the checks, and the plain values."""

import resource
from collections.abc import Sequence

from common.errors import InvalidInputError, NotImplementedHereError
from worker.kernel.device_rules import DeviceRuleError, Rule, parse_rule
from worker.runtime.bundle import (
    Bundle,
    BundleMount,
    CgroupLimits,
    DeviceNode,
    FileContent,
    FurtherProcess,
    IdMapping,
    Namespaces,
)
from worker.runtime.capabilities import UnknownCapabilityError, capability_mask
from worker.runtime.orders import (
    DeviceOrder,
    FileOrder,
    MountOrder,
    NamespacesOrder,
    ProcessOrder,
    SpawnOrder,
    StartOrder,
)
from worker.runtime.plumbing import CONTAINER, HOST_NETWORK
from worker.runtime.sharing import NONE

LAYERS_MAX = 128
"""As Docker's; the kernel takes 500."""
FILES_BYTES_MAX = 5 * 1024 * 1024
"""Bytes of the secrets and configs of one container, their placeholders filled in; fits ``wire.FRAME_MAX``."""
_HOSTNAME_MAX = 64
_TERMINAL_GROUP = 5

_ULIMITS = {
    "as": resource.RLIMIT_AS,
    "core": resource.RLIMIT_CORE,
    "cpu": resource.RLIMIT_CPU,
    "data": resource.RLIMIT_DATA,
    "fsize": resource.RLIMIT_FSIZE,
    "locks": 10,
    "memlock": resource.RLIMIT_MEMLOCK,
    "msgqueue": resource.RLIMIT_MSGQUEUE,
    "nice": resource.RLIMIT_NICE,
    "nofile": resource.RLIMIT_NOFILE,
    "nproc": resource.RLIMIT_NPROC,
    "rss": resource.RLIMIT_RSS,
    "rtprio": resource.RLIMIT_RTPRIO,
    "rttime": 15,
    "sigpending": resource.RLIMIT_SIGPENDING,
    "stack": resource.RLIMIT_STACK,
}

_IPC_SYSCTLS = frozenset(
    {
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    }
)
_MQUEUE_PREFIX = "fs.mqueue."
_NETWORK_PREFIX = "net."

_PROPAGATIONS = frozenset(
    {"private", "rprivate", "slave", "rslave", "shared", "rshared", ""},
)


def start_order(bundle: Bundle) -> StartOrder:
    """Checks a bundle and puts it into plain values.

    Raises:
        InvalidInputError: it cannot be run.
    """
    _check_bundle(bundle)
    return StartOrder(
        id=bundle.id,
        process=ProcessOrder(
            argv=list(bundle.argv),
            env=list(bundle.env),
            cwd=bundle.cwd or "/",
            user=bundle.user,
            groups=list(bundle.groups),
            capabilities=_mask(bundle.capabilities),
            no_new_privileges=bundle.no_new_privileges,
            ulimits=[_ulimit(name, *pair) for name, pair in sorted(bundle.ulimits.items())],
            oom_score_adj=bundle.oom_score_adj,
            seccomp=bundle.seccomp,
            runtime=bundle.runtime,
            rows=bundle.console_size[0],
            columns=bundle.console_size[1],
            shares_processes=bundle.namespaces.pid != "",
            root_uid=host_id(0, bundle.namespaces.uid_mappings),
            root_gid=host_id(0, bundle.namespaces.gid_mappings),
        ),
        seccomp_rules=bundle.seccomp_rules,
        lower=list(bundle.rootfs.lower),
        upper=bundle.rootfs.upper,
        work=bundle.rootfs.work,
        merged=bundle.rootfs.merged,
        root_read_only=bundle.rootfs.read_only,
        hostname=bundle.hostname,
        domainname=bundle.domainname,
        mounts=[_mount_order(mount, bundle.namespaces) for mount in bundle.mounts],
        network_namespace=bundle.network_namespace,
        namespaces=_namespaces(bundle),
        uid_mappings=_mappings(bundle.namespaces.uid_mappings),
        gid_mappings=_mappings(bundle.namespaces.gid_mappings),
        terminal_gid=host_id(_TERMINAL_GROUP, bundle.namespaces.gid_mappings),
        sysctls=[_sysctl(bundle, name, value) for name, value in sorted(bundle.sysctls.items())],
        shm_bytes=bundle.shm_bytes,
        init=bundle.init,
        tty=bundle.tty,
        open_stdin=bundle.open_stdin,
        stdin_once=bundle.stdin_once,
        masked_paths=[_absolute(path) for path in bundle.masked_paths],
        read_only_paths=[_absolute(path) for path in bundle.read_only_paths],
        privileged=bundle.privileged,
        devices=[_device_order(device, bundle.namespaces) for device in bundle.devices],
        device_rules=_device_rules(bundle),
        limits=plain_limits(bundle.limits),
        log_path=bundle.log.path,
        log_max_bytes=bundle.log.max_bytes,
        log_max_files=max(bundle.log.max_files, 1),
        log_driver=bundle.log.driver,
        log_attributes=sorted(bundle.log.attributes.items()),
    )


def spawn_order(container_id: str, process: FurtherProcess) -> SpawnOrder:
    """Checks a further process and puts it into plain values.

    Raises:
        InvalidInputError: it cannot be run.
    """
    check_id(container_id)
    if not process.argv or not process.argv[0]:
        raise InvalidInputError("No exec command specified")
    if process.cwd and not process.cwd.startswith("/"):
        raise InvalidInputError(f"the working directory {process.cwd} is not an absolute path")
    for text in (*process.argv, *process.env, process.cwd, process.user):
        if "\0" in text:
            raise InvalidInputError("a null byte in command, environment, user or directory")
    return SpawnOrder(
        id=container_id,
        argv=list(process.argv),
        env=list(process.env),
        cwd=process.cwd,
        user=process.user,
        privileged=process.privileged,
        tty=process.tty,
        rows=process.console_size[0],
        columns=process.console_size[1],
    )


def _check_bundle(bundle: Bundle) -> None:
    if not bundle.argv or not bundle.argv[0]:
        raise InvalidInputError("no command specified")
    if not bundle.rootfs.lower or len(bundle.rootfs.lower) > LAYERS_MAX:
        count = len(bundle.rootfs.lower)
        raise InvalidInputError(f"an image of {count} layers cannot be run: 1 to {LAYERS_MAX} can")
    for name in (bundle.hostname, bundle.domainname):
        if len(name) > _HOSTNAME_MAX:
            raise InvalidInputError(f"the hostname {name} is longer than {_HOSTNAME_MAX}")
    if not bundle.cwd.startswith("/") and bundle.cwd:
        raise InvalidInputError(f"the working directory {bundle.cwd} is not an absolute path")
    for text in (
        *bundle.argv,
        *bundle.env,
        bundle.cwd,
        bundle.user,
        bundle.hostname,
        bundle.domainname,
    ):
        if "\0" in text:
            raise InvalidInputError("a null byte in command, environment, user or directory")
    _check_files(bundle)
    check_id(bundle.id)


def _check_files(bundle: Bundle) -> None:
    files = sum(len(mount.content.data) for mount in bundle.mounts if mount.content is not None)
    if files > FILES_BYTES_MAX:
        raise InvalidInputError(
            f"secrets and configs of {files} bytes are more than a container's {FILES_BYTES_MAX}"
        )


def check_id(container_id: str) -> None:
    """Ids become names of files and control groups.

    Raises:
        InvalidInputError: it cannot be one.
    """
    plain = container_id.replace("-", "").replace("_", "").replace(".", "")
    if not (plain.isascii() and plain.isalnum()) or container_id.startswith("."):
        raise InvalidInputError(f"{container_id!r} is not a container's id")


def _mask(names: frozenset[str]) -> int:
    try:
        return capability_mask(names)
    except UnknownCapabilityError as error:
        raise InvalidInputError(str(error)) from error


def _ulimit(name: str, soft: int, hard: int) -> tuple[int, int, int]:
    number = _ULIMITS.get(name)
    if number is None:
        raise InvalidInputError(f"invalid ulimit type: {name}")
    if hard not in (-1, soft) and (soft > hard or soft == -1):
        raise InvalidInputError(
            f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
        )
    return (number, soft, hard)


def _sysctl(bundle: Bundle, name: str, value: str) -> tuple[str, str]:
    """Only what belongs to the container's own namespaces, so that nothing of the host changes."""
    in_network = name.startswith(_NETWORK_PREFIX)
    if in_network and bundle.network_namespace == HOST_NETWORK:
        raise InvalidInputError(f"sysctl '{name}' is not allowed in the host's network")
    in_ipc = name.startswith(_MQUEUE_PREFIX) or name in _IPC_SYSCTLS
    if in_ipc and bundle.namespaces.ipc == HOST_NETWORK:
        raise InvalidInputError(f"sysctl '{name}' is not allowed in the host's ipc namespace")
    own = in_network or in_ipc
    if not own or "/" in name or "" in name.split("."):
        raise InvalidInputError(f"sysctl '{name}' is not allowed: it is not a container's own")
    return (name, value)


def _mount_order(mount: BundleMount, namespaces: Namespaces) -> MountOrder:
    if not mount.target.startswith("/") or mount.target.strip("/") == "":
        raise InvalidInputError(f"invalid mount target {mount.target!r}: it must be absolute")
    if mount.source and not mount.source.startswith("/"):
        raise InvalidInputError(f"invalid mount source {mount.source!r}: it must be absolute")
    if mount.propagation not in _PROPAGATIONS:
        raise InvalidInputError(f"invalid mount propagation: {mount.propagation}")
    return MountOrder(
        target=mount.target,
        source=mount.source,
        read_only=mount.read_only,
        tmpfs_size_bytes=mount.tmpfs_size_bytes,
        tmpfs_mode=mount.tmpfs_mode,
        tmpfs_flags=mount.tmpfs_flags,
        tmpfs_data=mount.tmpfs_data,
        propagation=mount.propagation,
        recursive=mount.recursive,
        file=_file_order(mount.content, namespaces),
        subpath=mount.subpath,
        read_only_below=mount.read_only_below,
        maps_owners=mount.maps_owners,
    )


def _absolute(path: str) -> str:
    if not path.startswith("/") or "\0" in path:
        raise InvalidInputError(f"invalid path {path!r}: it must be absolute")
    return path


def _device_order(device: DeviceNode, namespaces: Namespaces) -> DeviceOrder:
    name = device.path.rpartition("/")[2]
    if name in ("", ".", ".."):
        raise InvalidInputError(f"invalid device path {device.path!r}")
    return DeviceOrder(
        path=_absolute(device.path),
        kind=device.kind,
        major=device.major,
        minor=device.minor,
        mode=device.mode,
        uid=host_id(device.uid, namespaces.uid_mappings),
        gid=host_id(device.gid, namespaces.gid_mappings),
    )


def _device_rules(bundle: Bundle) -> list[Rule]:
    """What is allowed besides the defaults, each once."""
    rules = [(device.kind, device.major, device.minor, device.access) for device in bundle.devices]
    try:
        for text in bundle.device_rules:
            rules += parse_rule(text)
    except DeviceRuleError as error:
        raise InvalidInputError(str(error)) from error
    return list(dict.fromkeys(rules))


def _file_order(content: FileContent | None, namespaces: Namespaces) -> FileOrder | None:
    if content is None:
        return None
    return FileOrder(
        data=content.data,
        uid=host_id(content.uid, namespaces.uid_mappings),
        gid=host_id(content.gid, namespaces.gid_mappings),
        mode=content.mode,
    )


# -- namespaces ------------------------------------------------------------------------------------


def host_id(number: int, mappings: Sequence[IdMapping]) -> int:
    """The host's id of a user or group in a container; its own without mappings.

    Raises:
        InvalidInputError: it is not among those that are mapped.
    """
    for one in mappings:
        if one.container_id <= number < one.container_id + one.size:
            return one.host_id + number - one.container_id
    if mappings:
        raise InvalidInputError(f"id {number} is not mapped in the container's user namespace")
    return number


def _mappings(mappings: Sequence[IdMapping]) -> list[tuple[int, int, int]]:
    return [(one.container_id, one.host_id, one.size) for one in mappings]


def _namespaces(bundle: Bundle) -> NamespacesOrder:
    asked = bundle.namespaces
    modes = NamespacesOrder(pid=asked.pid, ipc=asked.ipc, uts=asked.uts, cgroup=asked.cgroup)
    for kind, mode in (("pid", asked.pid), ("ipc", asked.ipc), ("uts", asked.uts)):
        if mode.startswith(CONTAINER):
            check_id(mode.removeprefix(CONTAINER))
        elif mode not in ("", HOST_NETWORK) and (kind, mode) != ("ipc", NONE):
            raise InvalidInputError(f"invalid {kind} mode: {mode}")
    if asked.cgroup not in ("", HOST_NETWORK):
        raise InvalidInputError(f"invalid cgroup namespace mode: {asked.cgroup}")
    if bundle.runtime and asked.uid_mappings:
        raise NotImplementedHereError(
            "another runtime than swarmd's own maps no users yet", hint="--userns host"
        )
    if bool(asked.uid_mappings) != bool(asked.gid_mappings):
        raise InvalidInputError("users are mapped and groups are not, or the other way round")
    return modes


def plain_limits(limits: CgroupLimits) -> dict[str, int | str]:
    """As the supervisor gets them."""
    return {
        "cpu_quota_us": limits.cpu_quota_us,
        "cpu_period_us": limits.cpu_period_us,
        "memory_bytes": limits.memory_bytes,
        "memory_swap_bytes": limits.memory_swap_bytes,
        "memory_reservation_bytes": limits.memory_reservation_bytes,
        "pids": limits.pids,
        "cpu_shares": limits.cpu_shares,
        "cpuset_cpus": limits.cpuset_cpus,
        "cpuset_mems": limits.cpuset_mems,
        "blkio_weight": limits.blkio_weight,
        "memory_swappiness": limits.memory_swappiness,
        "oom_kill_disable": limits.oom_kill_disable,
    }
