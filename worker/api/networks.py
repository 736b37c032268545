"""The handlers of ``/networks``: the three that every node has."""

import hashlib
from typing import Any

from aiohttp import web

from common.engine_api.filters import Filters
from common.engine_api.http import filters, json_response
from common.engine_json import ZERO_TIME
from common.errors import NotFoundError
from worker.api.ports import NodeNetworks
from worker.containers.engine import LocalEngine
from worker.containers.record import Container, ContainerState

FILTERS = ("dangling", "driver", "id", "label", "name", "scope", "type")
_DRIVERS = {"bridge": "bridge", "host": "host", "none": "null"}


class Networks:
    """Networks of this node."""

    def __init__(self, network: NodeNetworks, engine: LocalEngine) -> None:
        self._network, self._engine = network, engine

    async def list(self, request: web.Request) -> web.Response:
        """``GET /networks``."""
        wanted = filters(request, *FILTERS)
        found = [self._render(name) for name in _DRIVERS]
        return json_response([network for network in found if _shows(wanted, network)])

    async def inspect(self, request: web.Request) -> web.Response:
        """``GET /networks/{id}``."""
        reference = request.match_info["id"]
        scope = request.query.get("scope", "local")
        for name in _DRIVERS if scope == "local" else ():
            if reference == name or network_id(name).startswith(reference):
                containers = {
                    container.id: _endpoint(container)
                    for container in self._engine.all()
                    if container.state is ContainerState.RUNNING
                    and container.config.network == name
                }
                return json_response({**self._render(name), "Containers": containers})
        raise NotFoundError(f"network {reference} not found")

    def _render(self, name: str) -> dict[str, Any]:
        addresses: list[dict[str, str]] = []
        options: dict[str, str] = {}
        if name == "bridge":
            bridge = self._network.bridge
            addresses = [{"Subnet": str(bridge.subnet), "Gateway": str(bridge.gateway.ip)}]
            options = {"com.docker.network.bridge.name": bridge.name}
        return {
            "Name": name,
            "Id": network_id(name),
            "Created": ZERO_TIME,
            "Scope": "local",
            "Driver": _DRIVERS[name],
            "EnableIPv4": True,
            "EnableIPv6": False,
            "IPAM": {"Driver": "default", "Options": None, "Config": addresses},
            "Internal": False,
            "Attachable": False,
            "Ingress": False,
            "ConfigFrom": {"Network": ""},
            "ConfigOnly": False,
            "Containers": {},
            "Options": options,
            "Labels": {},
        }


def network_id(name: str) -> str:
    """An id that stays the same: these networks are the same as long as the node is."""
    return hashlib.sha256(f"swarmd network {name}".encode()).hexdigest()


def _endpoint(container: Container) -> dict[str, str]:
    place = container.attachment
    return {
        "Name": container.config.name,
        "EndpointID": container.id,
        "MacAddress": place.mac_address,
        "IPv4Address": f"{place.address}/{place.prefix_length}" if place.address else "",
        "IPv6Address": "",
    }


def _shows(wanted: Filters, network: dict[str, Any]) -> bool:
    return (
        wanted.accepts("driver", lambda driver: driver == network["Driver"])
        and wanted.accepts_prefix("id", [network["Id"]])
        and wanted.accepts_labels({})
        and wanted.accepts("name", lambda part: part in network["Name"])
        and wanted.accepts("scope", lambda scope: scope == "local")
        and wanted.accepts("type", lambda kind: kind == "builtin")
        and wanted.accepts("dangling", lambda value: value in ("0", "false"))
    )
