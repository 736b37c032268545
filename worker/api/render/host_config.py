"""``HostConfig`` as ``docker inspect`` shows it, such that the same container can be made of it again."""

import json
from typing import Any, Final

from common.engine_json import render
from worker.containers.record import Container, HostOptions, PortBinding
from worker.runtime.confinement import MASKED_PATHS, READ_ONLY_PATHS

SHM_BYTES_DEFAULT: Final = 64 * 1024 * 1024
OUR_RUNTIME: Final = "swarmd"


def render_host_config(container: Container) -> dict[str, Any]:
    """All of it."""
    host = container.config.host
    return {
        **_plumbing(container),
        **_confinement(container),
        **_resources(container),
        "RestartPolicy": {
            "Name": host.restart.name,
            "MaximumRetryCount": host.restart.maximum_retry_count,
        },
        "AutoRemove": host.auto_remove,
        "Runtime": host.runtime or OUR_RUNTIME,
        "Isolation": "",
        "ConsoleSize": list(host.console_size),
        "Annotations": _extra(host, "Annotations"),
        "ContainerIDFile": _extra(host, "ContainerIDFile") or "",
    }


def _extra(host: HostOptions, name: str) -> Any:  # noqa: ANN401
    text = host.extra.get(name)
    return None if text is None else json.loads(text)


def _plumbing(container: Container) -> dict[str, Any]:
    """Files, network and log."""
    config, spec, host = container.config, container.config.spec, container.config.host
    driver, dns = config.log_driver, spec.dns_config
    return {
        "Binds": list(host.binds) or None,
        "LogConfig": {
            "Type": (driver.name if driver else "") or "json-file",
            "Config": dict(driver.options) if driver else {},
        },
        "NetworkMode": config.network,
        "PortBindings": _port_bindings(host),
        "VolumeDriver": _extra(host, "VolumeDriver") or "",
        "VolumesFrom": list(host.volumes_from) or None,
        "Mounts": _mounts(container),
        "Tmpfs": _extra(host, "Tmpfs"),
        "Dns": list(dns.nameservers) if dns else [],
        "DnsOptions": list(dns.options) if dns else [],
        "DnsSearch": list(dns.search) if dns else [],
        "ExtraHosts": [_extra_host(line) for line in spec.hosts] or None,
        "Links": None,
        "PublishAllPorts": host.publish_all_ports,
        "StorageOpt": None,
        "ShmSize": host.shm_bytes or SHM_BYTES_DEFAULT,
    }


def _port_bindings(host: HostOptions) -> dict[str, Any]:
    shown: dict[str, list[dict[str, str]]] = {}
    for item in host.port_bindings:
        shown.setdefault(f"{item.port}/{item.protocol}", []).append(_binding(item))
    return shown


def _binding(item: PortBinding) -> dict[str, str]:
    return {"HostIp": item.host_ip, "HostPort": str(item.host_port) if item.host_port else ""}


def _mounts(container: Container) -> Any:  # noqa: ANN401
    """What was asked for as a mount: for a container made by hand, binds and volumes are shown elsewhere."""
    config = container.config
    asked = None if config.task_id else _extra(config.host, "Mounts") or []
    found = [mount for mount in config.spec.mounts if asked is None or mount.target in asked]
    return render(found) if found else None


def _extra_host(line: str) -> str:
    address, _, name = line.partition(" ")
    return f"{name}:{address}"


def _confinement(container: Container) -> dict[str, Any]:
    spec, host = container.config.spec, container.config.host
    masked, read_only = host.masked_paths, host.read_only_paths
    if host.privileged:
        masked, read_only = masked or (), read_only or ()
    return {
        "CapAdd": list(spec.capability_add) or None,
        "CapDrop": list(spec.capability_drop) or None,
        "CgroupnsMode": host.cgroupns_mode or "private",
        "GroupAdd": list(spec.groups) or None,
        "IpcMode": host.ipc_mode or "private",
        "Cgroup": "",
        "OomScoreAdj": spec.oom_score_adj,
        "PidMode": host.pid_mode,
        "Privileged": host.privileged,
        "ReadonlyRootfs": spec.read_only,
        "SecurityOpt": _security(container),
        "UTSMode": host.uts_mode,
        "UsernsMode": host.userns_mode,
        "Sysctls": dict(spec.sysctls),
        "MaskedPaths": list(MASKED_PATHS if masked is None else masked),
        "ReadonlyPaths": list(READ_ONLY_PATHS if read_only is None else read_only),
        "Init": spec.init,
    }


def _security(container: Container) -> list[str] | None:
    """A task's are of its spec; those of a container made by hand are shown as they were given."""
    lines = _extra(container.config.host, "SecurityOpt")
    if lines is not None:
        return list(lines)
    privileges = container.config.spec.privileges
    return ["no-new-privileges"] if privileges and privileges.no_new_privileges else None


def _resources(container: Container) -> dict[str, Any]:
    spec, host = container.config.spec, container.config.host
    limits, reservations = (
        container.config.resources.limits,
        container.config.resources.reservations,
    )
    return {
        "CpuShares": host.cpu_shares,
        "Memory": limits.memory_bytes,
        "NanoCpus": limits.nano_cpus,
        "CgroupParent": "",
        "BlkioWeight": host.blkio_weight,
        "BlkioWeightDevice": [],
        "BlkioDeviceReadBps": [],
        "BlkioDeviceWriteBps": [],
        "BlkioDeviceReadIOps": [],
        "BlkioDeviceWriteIOps": [],
        "CpuPeriod": host.cpu_period_us,
        "CpuQuota": host.cpu_quota_us,
        "CpuRealtimePeriod": 0,
        "CpuRealtimeRuntime": 0,
        "CpusetCpus": host.cpuset_cpus,
        "CpusetMems": host.cpuset_mems,
        "Devices": [
            {
                "PathOnHost": device.path_on_host,
                "PathInContainer": device.path_in_container,
                "CgroupPermissions": device.cgroup_permissions,
            }
            for device in host.devices
        ],
        "DeviceCgroupRules": list(host.device_cgroup_rules) or None,
        "DeviceRequests": [
            {
                "Driver": request.driver,
                "Count": request.count,
                "DeviceIDs": list(request.device_ids) or None,
                "Capabilities": [list(names) for names in request.capabilities],
                "Options": dict(request.options),
            }
            for request in host.device_requests
        ]
        or None,
        "MemoryReservation": reservations.memory_bytes,
        "MemorySwap": host.memory_swap_bytes,
        "MemorySwappiness": host.memory_swappiness if host.memory_swappiness >= 0 else None,
        "OomKillDisable": host.oom_kill_disable,
        "PidsLimit": limits.pids or None,
        "Ulimits": [
            {"Name": limit.name, "Hard": limit.hard, "Soft": limit.soft} for limit in spec.ulimits
        ],
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
    }
