"""Ports that a container exposes and publishes. Pure."""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Final

from common.errors import InvalidInputError, NotImplementedHereError
from worker.api.parse.wire import WirePortBinding
from worker.containers.record import PortBinding

PORTS_MAX: Final = 65_535
PUBLISHED_MAX: Final = 4_096
"""Ports of one container that are exposed or published; a range counts for each of its ports."""
_PORT: Final = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/([a-zA-Z]+))?")
_PROTOCOLS: Final = ("tcp", "udp")


def exposed_of(keys: Iterable[str]) -> tuple[str, ...]:
    """``ExposedPorts``: "80/tcp", "53/udp", "8000-8010"; each port as "80/tcp".

    Raises:
        InvalidInputError: not a port.
        NotImplementedHereError: of another protocol.
    """
    found: dict[str, None] = {}
    for key in keys:
        first, last, protocol = _parsed(key)
        for port in range(first, last + 1):
            found[f"{port}/{protocol}"] = None
            if len(found) > PUBLISHED_MAX:
                raise InvalidInputError(f"more than {PUBLISHED_MAX} ports are exposed")
    return tuple(found)


def bindings_of(
    asked: Mapping[str, tuple[WirePortBinding, ...] | None],
) -> tuple[PortBinding, ...]:
    """``PortBindings``: of each port of the container, where on the host it is published.

    Raises:
        InvalidInputError: not a port, or not an address.
        NotImplementedHereError: it could be, but not here.
    """
    found = []
    for key, places in asked.items():
        first, last, protocol = _parsed(key)
        if first != last:
            raise NotImplementedHereError(
                f"publishing the range {key} at once is not available", hint="name each port"
            )
        found += [_binding(first, protocol, place) for place in places or ()]
    if len(found) > PUBLISHED_MAX:
        raise InvalidInputError(f"more than {PUBLISHED_MAX} ports are published")
    return tuple(found)


def _binding(port: int, protocol: str, place: WirePortBinding) -> PortBinding:
    try:
        host_ip = str(ipaddress.ip_address(place.host_ip)) if place.host_ip else ""
    except ValueError:
        raise InvalidInputError(f"invalid IP address: {place.host_ip}") from None
    if "-" in place.host_port:
        raise NotImplementedHereError(
            f"choosing a host port out of the range {place.host_port} is not available",
            hint="name one port, or none for any free one",
        )
    text = place.host_port or "0"
    if not (text.isascii() and text.isdigit()) or int(text[:6]) > PORTS_MAX:
        raise InvalidInputError(f"invalid port specification: {place.host_port!r}")
    return PortBinding(port=port, protocol=protocol, host_ip=host_ip, host_port=int(text))


def _parsed(key: str) -> tuple[int, int, str]:
    found = _PORT.fullmatch(key)
    if found is None:
        raise InvalidInputError(f"invalid port specification: {key!r}")
    first, last = int(found[1]), int(found[2] or found[1])
    if not 0 < first <= last <= PORTS_MAX:
        raise InvalidInputError(f"invalid port specification: {key!r}")
    protocol = (found[3] or "tcp").lower()
    if protocol == "sctp":
        raise NotImplementedHereError(f"port {key}: sctp is not available")
    if protocol not in _PROTOCOLS:
        raise InvalidInputError(f"invalid port specification: {key!r}: no such protocol")
    return first, last, protocol
