"""What a container may use and which namespaces it shares, decided out of what was asked for. Pure."""

from collections.abc import Mapping

from common.errors import ConflictError, InvalidInputError, NotImplementedHereError
from worker.containers.record import Container, ContainerConfig
from worker.network.attachment import Sandbox
from worker.runtime.bundle import CgroupLimits, Namespaces
from worker.runtime.oci_runtimes import OWN
from worker.runtime.remap import Remap

CPU_PERIOD_US = 100_000
CPU_QUOTA_US_MIN = 1_000
"""The kernel takes no less."""
_NANO = 1_000_000_000
HOST = "host"
CONTAINER = "container:"
OWN_NETWORK_SYSCTLS = {
    "net.ipv4.ip_unprivileged_port_start": "0",
    "net.ipv4.ping_group_range": "0 2147483647",
}


def limits_of(config: ContainerConfig) -> CgroupLimits:
    """The limits and reservations that were asked for, as the control group has them."""
    host, resources = config.host, config.resources
    limits = resources.limits
    period = host.cpu_period_us or CPU_PERIOD_US
    quota = host.cpu_quota_us
    if limits.nano_cpus:
        quota = max(limits.nano_cpus * period // _NANO, CPU_QUOTA_US_MIN)
    swappiness = host.memory_swappiness
    if swappiness < 0 and resources.memory_swappiness is not None:
        swappiness = resources.memory_swappiness
    return CgroupLimits(
        cpu_quota_us=max(quota, 0),
        cpu_period_us=period,
        cpu_shares=host.cpu_shares,
        cpuset_cpus=host.cpuset_cpus,
        cpuset_mems=host.cpuset_mems,
        memory_bytes=limits.memory_bytes,
        memory_swap_bytes=_memory_and_swap(config),
        memory_reservation_bytes=resources.reservations.memory_bytes,
        memory_swappiness=swappiness,
        oom_kill_disable=host.oom_kill_disable,
        blkio_weight=host.blkio_weight,
        pids=limits.pids,
    )


def _memory_and_swap(config: ContainerConfig) -> int:
    """Both together: a container's own says so, a service's says the swap alone."""
    memory, swap = config.resources.limits.memory_bytes, config.resources.swap_bytes
    if config.host.memory_swap_bytes or not memory or swap is None:
        return config.host.memory_swap_bytes
    return -1 if swap < 0 else memory + swap


# -- namespaces ------------------------------------------------------------------------------------


def namespaces_of(config: ContainerConfig, remap: Remap | None = None) -> Namespaces:
    """The namespaces that it shares.

    Args:
        config: what was asked for.
        remap: which ids of the host those of containers are, on a daemon that remaps.

    Raises:
        InvalidInputError: what it shares cannot be shared with another user namespace.
        NotImplementedHereError: its runtime is another than our own.
    """
    host = config.host
    remapped = None if host.userns_mode == HOST else remap
    if remapped is not None:
        _check_remapped(config)
    return Namespaces(
        pid=host.pid_mode,
        ipc=host.ipc_mode if host.ipc_mode not in ("private", "shareable") else "",
        uts=host.uts_mode,
        cgroup=host.cgroupns_mode if host.cgroupns_mode == HOST else "",
        uid_mappings=remapped.uids if remapped else (),
        gid_mappings=remapped.gids if remapped else (),
    )


def _check_remapped(config: ContainerConfig) -> None:
    host = config.host
    if host.runtime not in ("", OWN):
        words = f"--userns-remap under the runtime {host.runtime} is not available"
        raise NotImplementedHereError(words, hint='use --userns "host"')
    faults = {
        "privileged mode is incompatible with user namespaces. You must run the container in the host "
        "namespace when running privileged mode": host.privileged,
        "cannot share the host's network namespace when user namespaces are enabled": (
            config.network == HOST
        ),
        "cannot share the host PID namespace when user namespaces are enabled": (
            host.pid_mode == HOST
        ),
    }
    for words, is_so in faults.items():
        if is_so:
            raise InvalidInputError(words, hint='use --userns "host"')


def network_of(config: ContainerConfig, sandbox: Sandbox | None) -> str:
    """The network namespace, as a bundle says it."""
    if sandbox is not None:
        return sandbox.namespace
    return config.network if config.network == HOST or joined(config.network) else ""


def sysctls_of(config: ContainerConfig) -> Mapping[str, str]:
    """Docker's for a network that is its own: low ports and pings need no capability there. Then what was asked for."""
    if config.network == HOST or joined(config.network):
        return config.spec.sysctls
    return {**OWN_NETWORK_SYSCTLS, **config.spec.sysctls}


def joined(mode: str) -> str:
    """The id of the container whose namespace it is to share; "" for none."""
    return mode.removeprefix(CONTAINER) if mode.startswith(CONTAINER) else ""


def hosts_of(config: ContainerConfig) -> dict[str, str]:
    """The containers that it shares a namespace with, by what is shared."""
    host = config.host
    modes = {"network": config.network, "PID": host.pid_mode, "IPC": host.ipc_mode}
    modes["UTS"] = host.uts_mode
    return {kind: joined(mode) for kind, mode in modes.items() if joined(mode)}


def check_joined(kind: str, container_id: str, found: Container | None) -> None:
    """Refuses to join a container that has no namespace to share.

    Raises:
        ConflictError: it is gone, does not run, or keeps its memory to itself.
    """
    if found is None or not found.has_process:
        raise ConflictError(
            f"cannot join {kind} namespace of a non running container: {container_id}"
        )
    if kind == "IPC" and found.config.host.ipc_mode not in ("shareable", HOST):
        raise ConflictError(
            f"cannot join IPC of container {container_id}: non-shareable IPC",
            hint="use IpcMode:shareable for the donor container",
        )
