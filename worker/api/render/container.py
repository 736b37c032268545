"""Containers as ``docker ps`` and ``docker inspect`` expect them."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from common.engine_json import render, rfc3339
from worker.api.render.durations import human_duration
from worker.api.render.host_config import render_host_config
from worker.api.render.shown import Around
from worker.containers.record import (
    Container,
    ContainerState,
    Health,
    MountPoint,
    PortBinding,
)
from worker.containers.settle import hostname_of

EVERYWHERE = "0.0.0.0"  # noqa: S104 - what a port that is published everywhere is shown with


def render_container_summary(
    container: Container,
    *,
    now: float,
    network_id: str = "",
    sizes: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """An item of ``GET /containers/json``; ``sizes`` as ``Around`` has them."""
    config = container.config
    shown: dict[str, Any] = {
        "Id": container.id,
        "Names": [f"/{config.name}"],
        "Image": config.spec.image,
        "ImageID": container.image_id,
        "Command": " ".join(_words(container.argv)),
        "Created": int(container.created_at),
        "Ports": _summary_ports(container),
        "Labels": dict(config.labels),
        "State": container.state.value,
        "Status": status_text(container, now=now),
        "HostConfig": {"NetworkMode": config.network},
        "NetworkSettings": {"Networks": _networks(container, network_id)},
        "Mounts": [_mount(point) for point in container.mounts],
    }
    return {**shown, **(sizes or {})}


def _words(argv: Iterable[str]) -> Iterable[str]:
    """As Docker has them: the program as it is, arguments with blanks in quotes."""
    first, *rest = argv
    return (first, *(f"'{word}'" if " " in word else word for word in rest))


def _summary_ports(container: Container) -> list[dict[str, Any]]:
    if not container.has_process:
        return []
    published = {f"{item.port}/{item.protocol}" for item in container.ports}
    shown: list[dict[str, Any]] = [
        {
            "IP": item.host_ip or EVERYWHERE,
            "PrivatePort": item.port,
            "PublicPort": item.host_port,
            "Type": item.protocol,
        }
        for item in container.ports
    ]
    for key in container.config.host.exposed_ports:
        if key not in published:
            port, _, protocol = key.partition("/")
            shown.append({"PrivatePort": int(port), "Type": protocol})
    return shown


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


def render_container(container: Container, around: Around) -> dict[str, Any]:
    """``GET /containers/{id}/json``."""
    shown = {
        "Id": container.id,
        "Created": rfc3339(container.created_at),
        "Path": container.argv[0],
        "Args": list(container.argv[1:]),
        "State": _state(container),
        "Image": container.image_id,
        "ResolvConfPath": f"{around.etc}/resolv.conf",
        "HostnamePath": f"{around.etc}/hostname",
        "HostsPath": f"{around.etc}/hosts",
        "LogPath": around.log_path,
        "Name": f"/{container.config.name}",
        "RestartCount": container.restart_count,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": list(around.exec_ids) or None,
        "HostConfig": render_host_config(container),
        "GraphDriver": {"Name": "overlay2", "Data": {"ID": container.id, **around.graph}},
        "Mounts": [_mount(point) for point in container.mounts],
        "Config": _config(container, around),
        "NetworkSettings": _network_settings(container, around.network_id),
    }
    return {**shown, **around.sizes}


def _state(container: Container) -> dict[str, Any]:
    """One that waits for its next start counts as running, as in Docker."""
    state: dict[str, Any] = {
        "Status": container.state.value,
        "Running": container.is_active,
        "Paused": container.state is ContainerState.PAUSED,
        "Restarting": container.state is ContainerState.RESTARTING,
        "OOMKilled": container.oom_killed,
        "Dead": container.state is ContainerState.DEAD,
        "Pid": container.pid if container.has_process else 0,
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


# ------------------------------------------------------------------------------------------ Config


def _config(container: Container, around: Around) -> dict[str, Any]:
    config, spec, host = container.config, container.config.spec, container.config.host
    entrypoint, cmd = _command(container, around)
    shown: dict[str, Any] = {
        "Hostname": hostname_of(spec, container.id),
        "Domainname": host.domainname,
        "User": container.user,
        "AttachStdin": host.attach_stdin,
        "AttachStdout": host.attach_stdout,
        "AttachStderr": host.attach_stderr,
        "Tty": spec.tty,
        "OpenStdin": spec.open_stdin,
        "StdinOnce": host.stdin_once,
        "Env": list(container.env),
        "Cmd": cmd,
        "Image": spec.image,
        "Volumes": _volumes(container, around),
        "WorkingDir": container.working_dir,
        "Entrypoint": entrypoint,
        "OnBuild": _extra(container, "OnBuild"),
        "Labels": dict(config.labels),
        "StopSignal": container.stop_signal,
    }
    if host.exposed_ports:
        shown["ExposedPorts"] = {key: {} for key in host.exposed_ports}
    if host.stop_timeout_seconds is not None:
        shown["StopTimeout"] = int(host.stop_timeout_seconds)
    if (shell := _extra(container, "Shell")) is not None:
        shown["Shell"] = shell
    if container.healthcheck is not None:
        shown["Healthcheck"] = render(container.healthcheck)
    return shown


def _command(container: Container, around: Around) -> tuple[list[str] | None, list[str] | None]:
    """Entrypoint and command, as they came together from image and request."""
    config, argv = container.config, list(container.argv)
    given = config.entrypoint_given
    if given is None:
        entrypoint = list(config.spec.command or around.entrypoint)
    else:
        entrypoint = [] if given == ("",) else list(given)
    if argv[: len(entrypoint)] != entrypoint:  # the image's name means another one now
        entrypoint = []
    return entrypoint or None, argv[len(entrypoint) :] or None


def _volumes(container: Container, around: Around) -> dict[str, dict[str, str]] | None:
    targets = [*(_extra(container, "Volumes") or ()), *around.image_volumes]
    return {target: {} for target in targets} or None


def _extra(container: Container, name: str) -> Any:  # noqa: ANN401
    text = container.config.host.extra.get(name)
    return None if text is None else json.loads(text)


# ----------------------------------------------------------------------------------------- network


def _network_settings(container: Container, network_id: str) -> dict[str, Any]:
    place = container.attachment
    return {
        "Bridge": "",
        "SandboxID": container.id if container.has_process else "",
        "SandboxKey": f"/proc/{container.pid}/ns/net" if container.has_process else "",
        "Ports": _ports(container),
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "EndpointID": _endpoint_id(container),
        "Gateway": place.gateway,
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "IPAddress": place.address,
        "IPPrefixLen": place.prefix_length,
        "IPv6Gateway": "",
        "MacAddress": place.mac_address,
        "Networks": _networks(container, network_id),
    }


def _ports(container: Container) -> dict[str, Any]:
    if not container.has_process:
        return {}
    shown: dict[str, Any] = dict.fromkeys(container.config.host.exposed_ports)
    for item in container.ports:
        key = f"{item.port}/{item.protocol}"
        shown[key] = [*(shown.get(key) or ()), _binding(item)]
    return shown


def _binding(item: PortBinding) -> dict[str, str]:
    return {"HostIp": item.host_ip or EVERYWHERE, "HostPort": str(item.host_port)}


def _endpoint_id(container: Container) -> str:
    return container.id if container.attachment.address else ""


def _networks(container: Container, network_id: str) -> dict[str, Any]:
    """None of its own for one in another container's network."""
    network, place = container.config.network, container.attachment
    if network.startswith("container:"):
        return {}
    return {
        network: {
            "IPAMConfig": None,
            "Links": None,
            "Aliases": None,
            "MacAddress": place.mac_address,
            "DriverOpts": None,
            "GwPriority": 0,
            "NetworkID": network_id,
            "EndpointID": _endpoint_id(container),
            "Gateway": place.gateway,
            "IPAddress": place.address,
            "IPPrefixLen": place.prefix_length,
            "IPv6Gateway": "",
            "GlobalIPv6Address": "",
            "GlobalIPv6PrefixLen": 0,
            "DNSNames": None,
        }
    }


def _mount(point: MountPoint) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "Type": point.type,
        "Source": point.source,
        "Destination": point.destination,
        "Mode": point.mode,
        "RW": not point.read_only,
        "Propagation": point.propagation or ("rprivate" if point.type == "bind" else ""),
    }
    if point.type == "volume":
        shown |= {"Name": point.name, "Driver": point.driver or "local"}
    return shown
