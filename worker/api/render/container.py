"""Containers as ``docker ps`` and ``docker inspect`` expect them."""

from typing import Any

from common.engine_json import render, rfc3339
from worker.api.render.durations import human_duration
from worker.containers.record import Container, ContainerState, Health, MountPoint
from worker.containers.settle import hostname_of


def render_container_summary(container: Container, *, now: float) -> dict[str, Any]:
    """An item of ``GET /containers/json``."""
    config = container.config
    return {
        "Id": container.id,
        "Names": [f"/{config.name}"],
        "Image": config.spec.image,
        "ImageID": container.image_id,
        "Command": " ".join(container.argv),
        "Created": int(container.created_at),
        "Ports": [],
        "Labels": dict(config.labels),
        "State": container.state.value,
        "Status": status_text(container, now=now),
        "HostConfig": {"NetworkMode": config.network},
        "NetworkSettings": {"Networks": {config.network: _endpoint(container)}},
        "Mounts": [_mount(point) for point in container.mounts],
    }


def status_text(container: Container, *, now: float) -> str:
    """As ``docker ps`` says it: "Up 5 minutes (healthy)", "Exited (0) 3 seconds ago", "Created"."""
    match container.state:
        case ContainerState.PAUSED:
            return f"Up {human_duration(now - container.started_at)} (Paused)"
        case ContainerState.RESTARTING:
            ago = human_duration(now - container.finished_at)
            return f"Restarting ({container.exit_code}) {ago} ago"
        case ContainerState.RUNNING:
            health = {
                Health.NONE: "",
                Health.STARTING: " (health: starting)",
                Health.HEALTHY: " (healthy)",
                Health.UNHEALTHY: " (unhealthy)",
            }[container.health.state]
            return f"Up {human_duration(now - container.started_at)}{health}"
        case ContainerState.EXITED:
            ago = human_duration(now - container.finished_at)
            return f"Exited ({container.exit_code}) {ago} ago"
        case ContainerState.DEAD:
            return "Dead"
        case ContainerState.CREATED:
            return "Created"


def render_container(container: Container, *, log_path: str) -> dict[str, Any]:
    """``GET /containers/{id}/json``."""
    return {
        "Id": container.id,
        "Created": rfc3339(container.created_at),
        "Path": container.argv[0],
        "Args": list(container.argv[1:]),
        "State": _state(container),
        "Image": container.image_id,
        "LogPath": log_path,
        "Name": f"/{container.config.name}",
        "RestartCount": 0,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": None,
        "HostConfig": _host_config(container),
        "GraphDriver": {"Name": "overlay2", "Data": None},
        "Mounts": [_mount(point) for point in container.mounts],
        "Config": _config(container),
        "NetworkSettings": _network_settings(container),
    }


def _state(container: Container) -> dict[str, Any]:
    state: dict[str, Any] = {
        "Status": container.state.value,
        "Running": container.state is ContainerState.RUNNING,
        "Paused": False,
        "Restarting": False,
        "OOMKilled": container.oom_killed,
        "Dead": container.state is ContainerState.DEAD,
        "Pid": container.pid,
        "ExitCode": container.exit_code,
        "Error": container.error,
        "StartedAt": rfc3339(container.started_at),
        "FinishedAt": rfc3339(container.finished_at),
    }
    if container.health.state is not Health.NONE:
        state["Health"] = {
            "Status": container.health.state.value,
            "FailingStreak": container.health.failing_streak,
            "Log": [
                {
                    "Start": rfc3339(probe.started_at),
                    "End": rfc3339(probe.ended_at),
                    "ExitCode": probe.exit_code,
                    "Output": probe.output,
                }
                for probe in container.health.log
            ],
        }
    return state


def _config(container: Container) -> dict[str, Any]:
    config, spec = container.config, container.config.spec
    shown: dict[str, Any] = {
        "Hostname": hostname_of(spec, container.id),
        "Domainname": "",
        "User": container.user,
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
        "Tty": spec.tty,
        "OpenStdin": spec.open_stdin,
        "StdinOnce": False,
        "Env": list(container.env),
        "Cmd": list(container.argv),
        "Image": spec.image,
        "Volumes": None,
        "WorkingDir": container.working_dir,
        "Entrypoint": None,
        "Labels": dict(config.labels),
        "StopSignal": container.stop_signal,
    }
    if container.healthcheck is not None:
        shown["Healthcheck"] = render(container.healthcheck)
    return shown


def _host_config(container: Container) -> dict[str, Any]:
    config, spec = container.config, container.config.spec
    limits, driver = config.resources.limits, config.log_driver
    return {
        "Binds": None,
        "NetworkMode": config.network,
        "PortBindings": {},
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
        "AutoRemove": False,
        "LogConfig": {
            "Type": (driver.name if driver else "") or "json-file",
            "Config": dict(driver.options) if driver else {},
        },
        "CapAdd": list(spec.capability_add) or None,
        "CapDrop": list(spec.capability_drop) or None,
        "Privileged": False,
        "ReadonlyRootfs": spec.read_only,
        "Init": spec.init,
        "Sysctls": dict(spec.sysctls),
        "Mounts": render(spec.mounts),
        "NanoCpus": limits.nano_cpus,
        "Memory": limits.memory_bytes,
        "MemoryReservation": config.resources.reservations.memory_bytes,
        "PidsLimit": limits.pids or None,
        "OomScoreAdj": spec.oom_score_adj,
        "Ulimits": [
            {"Name": limit.name, "Soft": limit.soft, "Hard": limit.hard} for limit in spec.ulimits
        ],
    }


def _network_settings(container: Container) -> dict[str, Any]:
    place = container.attachment
    return {
        "SandboxID": "",
        "Ports": {},
        "IPAddress": place.address,
        "IPPrefixLen": place.prefix_length,
        "Gateway": place.gateway,
        "MacAddress": place.mac_address,
        "Networks": {container.config.network: _endpoint(container)},
    }


def _endpoint(container: Container) -> dict[str, Any]:
    place = container.attachment
    return {
        "IPAMConfig": None,
        "Links": None,
        "Aliases": None,
        "NetworkID": "",
        "EndpointID": "",
        "Gateway": place.gateway,
        "IPAddress": place.address,
        "IPPrefixLen": place.prefix_length,
        "MacAddress": place.mac_address,
        "DNSNames": None,
    }


def _mount(point: MountPoint) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "Type": point.type,
        "Source": point.source,
        "Destination": point.destination,
        "Mode": "",
        "RW": not point.read_only,
        "Propagation": point.propagation or ("rprivate" if point.type == "bind" else ""),
    }
    if point.type == "volume":
        shown |= {"Name": point.name, "Driver": "local"}
    return shown
