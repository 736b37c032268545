"""Network, pid, ipc, uts, cgroup and user namespaces of a create request. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from common.errors import InvalidInputError, NotImplementedHereError
from worker.api.parse.wire import WireCreate, WireEndpoint
from worker.containers.record import Container

CONTAINER: Final = "container:"
Find = Callable[[str], Container]


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceModes:
    """Whose namespaces it has: each as ``HostOptions`` has it, containers by their full id."""

    network: str = "bridge"
    pid: str = ""
    ipc: str = ""
    uts: str = ""
    cgroupns: str = ""
    userns: str = ""


def namespaces_of(wire: WireCreate, find: Find) -> NamespaceModes:
    """Reads the modes.

    Raises:
        InvalidInputError: a mode that there is not, or that contradicts another wish; in Docker's words.
        SwarmdError: what ``find`` raises.
    """
    host = wire.host_config
    network = _network(wire, find)
    _check_network_of_another(wire, network)
    if host.uts_mode == "host" and wire.hostname:
        raise InvalidInputError("conflicting options: hostname and the UTS mode")
    return NamespaceModes(
        network=network,
        pid=_mode("PID", host.pid_mode, ("", "host"), find),
        ipc=_mode("IPC", host.ipc_mode, ("", "none", "private", "shareable", "host"), find),
        uts=_mode("UTS", host.uts_mode, ("", "host"), find),
        cgroupns=_mode("cgroup namespace", host.cgroupns_mode, ("", "private", "host")),
        userns=_mode("user namespace", host.userns_mode, ("", "host")),
    )


def _mode(what: str, text: str, known: tuple[str, ...], find: Find | None = None) -> str:
    if text in known:
        return text
    if find is not None and text.startswith(CONTAINER):
        return _container(text, find)
    raise InvalidInputError(f"invalid {what} mode: {text}")


def _container(text: str, find: Find) -> str:
    name = text.removeprefix(CONTAINER)
    if not name:
        raise InvalidInputError(f"invalid container format {text}")
    return CONTAINER + find(name).id


# ------------------------------------------------------------------------------------------ network


def _network(wire: WireCreate, find: Find) -> str:
    mode = "none" if wire.network_disabled else wire.host_config.network_mode
    if mode.startswith(CONTAINER):
        return _container(mode, find)
    network = "bridge" if mode in ("", "default") else mode
    _check_endpoints(wire, network)
    return network


def _check_endpoints(wire: WireCreate, network: str) -> None:
    for name, endpoint in wire.networking_config.endpoints_config.items():
        if name not in (network, "default" if network == "bridge" else network):
            raise NotImplementedHereError(
                f"Container cannot be connected to network endpoints: {network}, {name}",
                hint="one network at a time",
            )
        if endpoint is not None:
            _check_endpoint(endpoint)


def _check_endpoint(endpoint: WireEndpoint) -> None:
    addresses = endpoint.ipam_config
    if addresses is not None and (addresses.ipv4_address or addresses.ipv6_address):
        raise InvalidInputError(
            "user specified IP address is supported on user defined networks only"
        )
    if endpoint.aliases:
        raise InvalidInputError(
            "network-scoped alias is supported only for containers in user defined networks"
        )
    refused = {
        "IPAMConfig.LinkLocalIPs": addresses is not None and bool(addresses.link_local_ips),
        "Links": bool(endpoint.links),
        "MacAddress": bool(endpoint.mac_address),
        "DriverOpts": bool(endpoint.driver_opts),
        "GwPriority": bool(endpoint.gw_priority),
    }
    for name, is_asked in refused.items():
        if is_asked:
            raise NotImplementedHereError(f"EndpointSettings.{name} is not available")


def _check_network_of_another(wire: WireCreate, network: str) -> None:
    """Whoever is in another container's network has its name, ports and resolver."""
    if not network.startswith(CONTAINER):
        return
    host = wire.host_config
    conflicts = {
        "hostname and the network mode": wire.hostname,
        "dns and the network mode": host.dns,
        "custom host-to-IP mapping and the network mode": host.extra_hosts,
        "port publishing and the container type network mode": (
            host.port_bindings or host.publish_all_ports
        ),
        "port exposing and the container type network mode": wire.exposed_ports,
        "mac-address and the network mode": wire.mac_address,
    }
    for words, is_asked in conflicts.items():
        if is_asked:
            raise InvalidInputError(f"conflicting options: {words}")
