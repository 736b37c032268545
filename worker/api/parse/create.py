"""``POST /containers/create``: what the engine is to make of it. Pure.

Each field of the request is honoured, or refused by its name; none is passed over in silence.
"""

import ipaddress
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from common.engine_json import parse
from common.errors import InvalidInputError, NotImplementedHereError
from common.model.container_spec import (
    ContainerSpec,
    DnsConfig,
    Driver,
    HealthConfig,
    Privileges,
)
from worker.api.parse.mounts import mounts_of
from worker.api.parse.namespaces import NamespaceModes, namespaces_of
from worker.api.parse.ports import bindings_of, exposed_of
from worker.api.parse.resources import check_resources, requirements_of
from worker.api.parse.security import SecurityOptions, security_of
from worker.api.parse.wire import WireCreate, WireDevice, WireHostConfig
from worker.containers.record import (
    Container,
    ContainerConfig,
    DeviceMapping,
    HostOptions,
    RestartPolicy,
)
from worker.containers.restart_policy import check_policy

HOSTNAME_MAX: Final = 64
OOM_SCORE_ADJ: Final = range(-1000, 1001)
HEALTH_DURATION_SECONDS_MIN: Final = 0.001
HOST_GATEWAY: Final = "host-gateway"
_CONSOLE: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What of the node a request can be about."""

    find: Callable[[str], Container]
    """A container by name or id; raises an error where there is none."""
    cpus: int
    gateway: str
    """What ``host-gateway`` means: the bridge's own address."""
    cgroup_version: str = "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """What of the image matters before there is a container."""

    cmd: tuple[str, ...] = ()
    exposed_ports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """What to make, and what to tell the client of it."""

    config: ContainerConfig
    warnings: tuple[str, ...] = field(default_factory=tuple)


def read_create(raw: Any) -> WireCreate:  # noqa: ANN401
    """The request's body.

    Raises:
        InvalidInputError: it is none.
    """
    if not isinstance(raw, dict):
        raise InvalidInputError("config cannot be empty in order to create a container")
    wire = parse(WireCreate, _with_lists(raw), "config")
    if not wire.image:
        raise InvalidInputError("no image is named: config.Image is empty")
    return wire


def _with_lists(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A command may also be one string, as Docker takes it."""
    lists = ("cmd", "entrypoint", "shell")
    return {
        key: [value] if key.lower() in lists and isinstance(value, str) else value
        for key, value in raw.items()
    }


def creation_of(wire: WireCreate, *, name: str, node: Node, image: ImageFacts) -> Creation:
    """Decides what is to be made.

    Raises:
        InvalidInputError: it contradicts itself, in Docker's words.
        SwarmdError: what ``node.find`` raises.
        NotImplementedHereError: it could be, but not here.
    """
    host = wire.host_config
    _refuse_absent(wire)
    check_resources(host, cpus=node.cpus)
    _check_host(host)
    _check_config(wire)
    check_policy(host.restart_policy, auto_remove=host.auto_remove)
    modes = namespaces_of(wire, node.find)
    security = security_of(host.security_opt)
    config = ContainerConfig(
        name=name.removeprefix("/"),
        spec=_spec(wire, node, image, security),
        resources=requirements_of(host),
        labels=dict(wire.labels),
        log_driver=_log_driver(host),
        network=modes.network,
        host=_options(wire, modes, security, image),
        entrypoint_given=wire.entrypoint,
        cmd_given=wire.cmd,
    )
    return Creation(config=config, warnings=warnings_of(config, node))


# ------------------------------------------------------------------------------------------- the spec


def _spec(
    wire: WireCreate, node: Node, image: ImageFacts, security: SecurityOptions
) -> ContainerSpec:
    host = wire.host_config
    command, args = command_of(wire, image)
    return ContainerSpec(
        image=wire.image,
        command=command,
        args=args,
        hostname=wire.hostname,
        env=wire.env,
        dir=wire.working_dir,
        user=wire.user,
        groups=host.group_add,
        privileges=Privileges(no_new_privileges=True) if security.no_new_privileges else None,
        tty=wire.tty,
        open_stdin=wire.open_stdin,
        read_only=host.readonly_rootfs,
        mounts=mounts_of(wire, node.find),
        stop_signal=wire.stop_signal,
        healthcheck=wire.healthcheck,
        hosts=tuple(host_line(text, gateway=node.gateway) for text in host.extra_hosts),
        dns_config=_dns(host),
        oom_score_adj=host.oom_score_adj,
        init=host.init,
        sysctls=dict(host.sysctls),
        capability_add=host.cap_add,
        capability_drop=host.cap_drop,
        ulimits=host.ulimits,
    )


def command_of(wire: WireCreate, image: ImageFacts) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The spec's command and arguments. An entrypoint that is given and empty takes the image's away."""
    entrypoint, cmd = wire.entrypoint, wire.cmd or ()
    if entrypoint is None:
        return (), cmd
    if entrypoint == ():
        return cmd or image.cmd, ()
    if entrypoint == ("",):
        if not cmd:
            raise InvalidInputError("no command specified")
        return cmd, ()
    return entrypoint, cmd


def host_line(text: str, *, gateway: str) -> str:
    """One of ``ExtraHosts`` ("name:address") as a line of /etc/hosts.

    Raises:
        InvalidInputError: it is none.
    """
    name, _, address = text.partition(":")
    address = address.strip("[]")
    if not name or any(char.isspace() for char in name):
        raise InvalidInputError(f"bad format for add-host: {text!r}")
    if address == HOST_GATEWAY:
        return f"{gateway} {name}"
    try:
        return f"{ipaddress.ip_address(address)} {name}"
    except ValueError:
        raise InvalidInputError(f"invalid IP address in add-host: {address!r}") from None


def _dns(host: WireHostConfig) -> DnsConfig | None:
    if not (host.dns or host.dns_search or host.dns_options):
        return None
    for address in host.dns:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise InvalidInputError(f"invalid IP address: {address}") from None
    return DnsConfig(nameservers=host.dns, search=host.dns_search, options=host.dns_options)


def _log_driver(host: WireHostConfig) -> Driver | None:
    log = host.log_config
    return Driver(name=log.type, options=dict(log.config)) if log.type or log.config else None


# ------------------------------------------------------------------------------------------ the host


def _options(
    wire: WireCreate, modes: NamespaceModes, security: SecurityOptions, image: ImageFacts
) -> HostOptions:
    host = wire.host_config
    policy = host.restart_policy
    return HostOptions(
        privileged=host.privileged,
        pid_mode=modes.pid,
        ipc_mode=modes.ipc,
        uts_mode=modes.uts,
        cgroupns_mode=modes.cgroupns,
        userns_mode=modes.userns,
        seccomp_profile=security.seccomp_profile,
        masked_paths=host.masked_paths,
        read_only_paths=host.readonly_paths,
        devices=tuple(map(device_of, host.devices)),
        device_cgroup_rules=host.device_cgroup_rules,
        device_requests=host.device_requests,
        shm_bytes=host.shm_size,
        cpu_shares=host.cpu_shares,
        cpu_period_us=host.cpu_period,
        cpu_quota_us=host.cpu_quota,
        cpuset_cpus=host.cpuset_cpus,
        cpuset_mems=host.cpuset_mems,
        blkio_weight=host.blkio_weight,
        memory_swappiness=-1 if host.memory_swappiness is None else host.memory_swappiness,
        memory_swap_bytes=host.memory_swap,
        oom_kill_disable=host.oom_kill_disable,
        restart=policy if policy.name else RestartPolicy(),
        auto_remove=host.auto_remove,
        runtime=host.runtime,
        port_bindings=bindings_of(host.port_bindings),
        exposed_ports=exposed_of(
            dict.fromkeys([*wire.exposed_ports, *host.port_bindings, *image.exposed_ports])
        ),
        publish_all_ports=host.publish_all_ports,
        stdin_once=wire.stdin_once,
        attach_stdin=wire.attach_stdin,
        attach_stdout=wire.attach_stdout,
        attach_stderr=wire.attach_stderr,
        domainname=wire.domainname,
        binds=host.binds,
        console_size=console_size(host.console_size),
        stop_timeout_seconds=None if wire.stop_timeout is None else float(wire.stop_timeout),
        volumes_from=host.volumes_from,
        extra=_extra(wire),
    )


def device_of(given: WireDevice) -> DeviceMapping:
    """A device with what its client has left out: the same place in the container, and every permission.

    Raises:
        InvalidInputError: it cannot be.
    """
    permissions = given.cgroup_permissions or "rwm"
    if not given.path_on_host.startswith("/"):
        raise InvalidInputError(f"invalid device path: {given.path_on_host!r}")
    if set(permissions) - set("rwm"):
        raise InvalidInputError(f"invalid device permissions: {permissions!r}")
    return DeviceMapping(
        path_on_host=given.path_on_host,
        path_in_container=given.path_in_container or given.path_on_host,
        cgroup_permissions=permissions,
    )


def console_size(given: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns; (0, 0) when they are not given.

    Raises:
        InvalidInputError: it is no size.
    """
    if not given:
        return 0, 0
    if len(given) != _CONSOLE or any(not 0 <= number <= 0xFFFF for number in given):  # noqa: PLR2004
        raise InvalidInputError("invalid value for ConsoleSize: expected rows and columns")
    return given[0], given[1]


def _extra(wire: WireCreate) -> dict[str, str]:
    """What is shown again and means nothing to a container that runs."""
    host = wire.host_config
    shown: dict[str, Any] = {
        "Annotations": dict(host.annotations),
        "ArgsEscaped": wire.args_escaped,
        "ContainerIDFile": host.container_id_file,
        "Mounts": [mount.target for mount in host.mounts],
        "OnBuild": list(wire.on_build),
        "SecurityOpt": list(host.security_opt),
        "Shell": list(wire.shell),
        "Tmpfs": dict(host.tmpfs),
        "VolumeDriver": host.volume_driver,
        "Volumes": list(wire.volumes),
    }
    return {name: json.dumps(value) for name, value in shown.items() if value}


# ------------------------------------------------------------------------------- refusals and warnings


def _refuse_absent(wire: WireCreate) -> None:
    host = wire.host_config
    refused = {
        "Config.MacAddress": wire.mac_address,
        "HostConfig.Cgroup": host.cgroup,
        "HostConfig.Links": host.links,
        "HostConfig.StorageOpt": host.storage_opt,
    }
    for name, is_asked in refused.items():
        if is_asked:
            raise NotImplementedHereError(f"{name} is not available")


def _check_host(host: WireHostConfig) -> None:
    if host.oom_score_adj not in OOM_SCORE_ADJ:
        raise InvalidInputError(
            f"Invalid value {host.oom_score_adj}, range for oom score adj is [-1000, 1000]"
        )
    if host.shm_size < 0:
        raise InvalidInputError("SHM size can not be less than 0")
    if host.isolation not in ("", "default"):
        raise InvalidInputError(f"invalid isolation ({host.isolation}) on linux")
    for key in host.annotations:
        if not key:
            raise InvalidInputError("invalid Annotations: the empty string is not permitted as key")
    for paths in (host.masked_paths, host.readonly_paths):
        if relative := [path for path in paths or () if not path.startswith("/")]:
            raise InvalidInputError(f"invalid path {relative[0]!r}: it must be absolute")


def _check_config(wire: WireCreate) -> None:
    if len(wire.hostname) > HOSTNAME_MAX:
        raise InvalidInputError(f"invalid hostname format: {wire.hostname}")
    if wire.healthcheck is not None:
        check_healthcheck(wire.healthcheck)


def check_healthcheck(health: HealthConfig) -> None:
    """Refuses durations that cannot be.

    Raises:
        InvalidInputError: in Docker's words.
    """
    durations = {
        "Interval": health.interval_seconds,
        "Timeout": health.timeout_seconds,
        "StartPeriod": health.start_period_seconds,
        "StartInterval": health.start_interval_seconds,
    }
    for name, seconds in durations.items():
        if seconds and seconds < HEALTH_DURATION_SECONDS_MIN:
            raise InvalidInputError(f"{name} in Healthcheck cannot be less than 1ms")
    if health.retries < 0:
        raise InvalidInputError("Retries in Healthcheck cannot be negative")


def warnings_of(config: ContainerConfig, node: Node) -> tuple[str, ...]:
    """What a client should know of what it asked, in Docker's words."""
    host = config.host
    is_published = host.port_bindings or host.publish_all_ports
    on_v2 = node.cgroup_version == "2"
    found = {
        "Published ports are discarded when using host network mode": (
            config.network == "host" and is_published
        ),
        "OOM killer is disabled for the container, but no memory limit is set, this can result in "
        "the system running out of resources.": (
            host.oom_kill_disable and not config.resources.limits.memory_bytes
        ),
        "Your kernel does not support OomKillDisable. OomKillDisable discarded.": (
            host.oom_kill_disable and on_v2
        ),
        "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. "
        "Memory swappiness discarded.": host.memory_swappiness >= 0 and on_v2,
    }
    return tuple(text for text, is_so in found.items() if is_so)
