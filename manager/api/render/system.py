"""The node and its engine as ``GET /info`` and ``GET /version`` show them."""

from typing import Any

from common.engine_api.application import API_VERSION, MIN_API_VERSION
from common.engine_api.facts import EngineFacts
from common.engine_json import rfc3339

Json = dict[str, Any]

PLATFORM_NAME = "swarmd"
_GO_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def render_version(facts: EngineFacts) -> Json:
    """Engine API ``SystemVersion``."""
    common = {
        "ApiVersion": API_VERSION,
        "MinAPIVersion": MIN_API_VERSION,
        "Os": "linux",
        "Arch": _GO_ARCHITECTURES.get(facts.architecture, facts.architecture),
        "KernelVersion": facts.kernel_version,
        "GitCommit": "",
        "GoVersion": "",
        "BuildTime": "",
    }
    engine = {"Name": "Engine", "Version": facts.server_version}
    return {
        "Platform": {"Name": PLATFORM_NAME},
        "Components": [{**engine, "Details": {**common, "Experimental": "false"}}],
        "Version": facts.server_version,
        **common,
    }


def render_info(facts: EngineFacts, swarm: Json, *, now: float, listeners: int) -> Json:
    """Engine API ``SystemInfo``: the engine's facts and this node's part in a swarm."""
    return {
        "ID": facts.id,
        "Name": facts.name,
        **_containers(facts),
        **_storage(facts),
        **_abilities(facts),
        **_machine(facts),
        **_runtimes(facts),
        "Debug": facts.debug,
        "NFd": facts.n_fd,
        "NGoroutines": 0,
        "NEventsListener": listeners,
        "SystemTime": rfc3339(now),
        "Labels": list(facts.labels),
        "ExperimentalBuild": False,
        "ServerVersion": facts.server_version,
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
        "LiveRestoreEnabled": facts.live_restore_enabled,
        "Swarm": swarm,
        "Warnings": list(facts.warnings),
    }


def _containers(facts: EngineFacts) -> Json:
    counts = (facts.containers_running, facts.containers_paused, facts.containers_stopped)
    return {
        "Containers": sum(counts),
        **dict(
            zip(("ContainersRunning", "ContainersPaused", "ContainersStopped"), counts, strict=True)
        ),
        "Images": facts.images,
    }


def _storage(facts: EngineFacts) -> Json:
    return {
        "Driver": facts.driver,
        "DriverStatus": [list(pair) for pair in facts.driver_status],
        "DockerRootDir": facts.docker_root_dir,
        "Plugins": {
            "Volume": list(facts.volume_plugins),
            "Network": list(facts.network_plugins),
            "Authorization": None,
            "Log": list(facts.log_plugins),
        },
        "LoggingDriver": facts.logging_driver,
        "IndexServerAddress": "",
        "RegistryConfig": {"IndexConfigs": {}, "InsecureRegistryCIDRs": [], "Mirrors": []},
    }


def _abilities(facts: EngineFacts) -> Json:
    return {
        "MemoryLimit": facts.memory_limit,
        "SwapLimit": facts.swap_limit,
        "CpuCfsPeriod": facts.cpu_cfs_period,
        "CpuCfsQuota": facts.cpu_cfs_quota,
        "CPUShares": facts.cpu_shares,
        "CPUSet": facts.cpu_set,
        "PidsLimit": facts.pids_limit,
        "OomKillDisable": facts.oom_kill_disable,
        "IPv4Forwarding": facts.ipv4_forwarding,
        "CgroupDriver": facts.cgroup_driver,
        "CgroupVersion": facts.cgroup_version,
    }


def _machine(facts: EngineFacts) -> Json:
    return {
        "KernelVersion": facts.kernel_version,
        "OperatingSystem": facts.operating_system,
        "OSVersion": facts.os_version,
        "OSType": "linux",
        "Architecture": facts.architecture,
        "NCPU": facts.ncpu,
        "MemTotal": facts.mem_total,
        "GenericResources": None,
    }


def _runtimes(facts: EngineFacts) -> Json:
    return {
        "Runtimes": {name: {"path": path} for name, path in facts.runtimes.items()},
        "DefaultRuntime": facts.default_runtime,
        "InitBinary": "",
        "ContainerdCommit": {"ID": ""},
        "RuncCommit": {"ID": ""},
        "InitCommit": {"ID": ""},
        "SecurityOptions": list(facts.security_options),
        "DefaultAddressPools": [
            {"Base": base, "Size": size} for base, size in facts.default_address_pools
        ],
    }
