"""Published ports: keep what a service asks for or has, find free ones for the rest."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol as Port

from common.model.endpoint import EndpointSpec, PortConfig, Protocol, PublishMode
from common.model.service import Service

DYNAMIC_PORT_MIN = 30000
DYNAMIC_PORT_MAX = 32767
_NO_ENDPOINT = EndpointSpec()


class PortsError(Exception):
    """Why the ports of a service cannot be allocated: a sentence for the user."""


class OtherServices(Port):
    """What the services beside the one that is allocated for publish on every node."""

    def holder(self, protocol: Protocol, port: int) -> Service | None:
        """The service that was given the port."""
        ...

    def want(self, protocol: Protocol, port: int) -> bool:
        """Whether some service was given the port, or asks for it by number."""
        ...


def allocate_ports(service: Service, others: OtherServices) -> tuple[PortConfig, ...]:
    """The service's ports with a number each, but for those of host mode, which each node gives.

    Raises:
        PortsError: one that is asked for is taken, or none is free.
    """
    asked = (service.spec.endpoint_spec or _NO_ENDPOINT).ports
    own = {_place(port) for port in asked if _is_fixed(port)}
    for protocol, number in sorted(own):
        holder = others.holder(protocol, number)
        if holder is not None:
            raise PortsError(in_use(number, holder, PublishMode.INGRESS))
    held = list(service.endpoint.ports)
    return tuple(_number(port, held, own, others) for port in asked)


def _number(
    port: PortConfig,
    held: list[PortConfig],
    own: set[tuple[Protocol, int]],
    others: OtherServices,
) -> PortConfig:
    """The port with the number that the service has for it already, or else with the lowest that is free."""
    if port.published_port or port.publish_mode == PublishMode.HOST:
        return port
    for before in held:
        is_same = replace(before, published_port=0) == port
        if is_same and _place(before) not in own and not others.want(*_place(before)):
            own.add(_place(before))
            return before
    for number in range(DYNAMIC_PORT_MIN, DYNAMIC_PORT_MAX + 1):
        place = (port.protocol, number)
        if place not in own and not others.want(*place):
            own.add(place)
            return replace(port, published_port=number)
    raise PortsError(
        f"no {port.protocol} port is free between {DYNAMIC_PORT_MIN} and {DYNAMIC_PORT_MAX}"
    )


def _is_fixed(port: PortConfig) -> bool:
    return bool(port.published_port) and port.publish_mode == PublishMode.INGRESS


def _place(port: PortConfig) -> tuple[Protocol, int]:
    return port.protocol, port.published_port


def in_use(number: int, holder: Service, mode: PublishMode) -> str:
    """Docker's words for a port that another service publishes."""
    kind = "an ingress port" if mode == PublishMode.INGRESS else "a host-published port"
    return (
        f"port '{number}' is already in use by service '{holder.spec.name}' ({holder.id}) as {kind}"
    )


def port_conflict(
    asked: EndpointSpec | None, services: Iterable[Service], own_id: str = ""
) -> str | None:
    """Why these ports cannot be published beside what other services publish, in Docker's words; None: they can.

    Args:
        asked: what a service is to publish.
        services: all services.
        own_id: the id of that service when it exists already: it cannot be in its own way.
    """
    by_mode: dict[PublishMode, set[tuple[Protocol, int]]] = {mode: set() for mode in PublishMode}
    for port in asked.ports if asked else ():
        if port.published_port:
            by_mode[port.publish_mode].add((port.protocol, port.published_port))
    ingress, host = by_mode[PublishMode.INGRESS], by_mode[PublishMode.HOST]
    if not ingress and not host:
        return None
    for service in services:
        for port in _published_by(service) if service.id != own_id else ():
            place = _place(port)
            is_ingress = port.publish_mode == PublishMode.INGRESS
            if place in ingress or (is_ingress and place in host):
                return in_use(port.published_port, service, port.publish_mode)
    return None


def _published_by(service: Service) -> Iterable[PortConfig]:
    asked = (service.spec.endpoint_spec or _NO_ENDPOINT).ports
    return (port for port in (*asked, *service.endpoint.ports) if port.published_port)
