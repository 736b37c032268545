"""The filters ``publish`` and ``expose`` of containers: ports of the container, as in ``docker ps -f publish=80``."""

import re
from collections.abc import Iterable

from common.errors import InvalidInputError
from worker.containers.record import Container

_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(tcp|udp|sctp))?", re.ASCII)
_PORT_MAX = 65535


def publishes(container: Container, ports: str) -> bool:
    """Whether any of ``80``, ``80/udp``, ``8000-8080/tcp`` is a port of the container that is published.

    Raises:
        InvalidInputError: ports that are none.
    """
    bound = (*container.ports, *container.config.host.port_bindings)
    return _has_any(ports, (f"{item.port}/{item.protocol}" for item in bound))


def exposes(container: Container, ports: str) -> bool:
    """Whether any of them is a port that the container is said to serve.

    Raises:
        InvalidInputError: ports that are none.
    """
    return _has_any(ports, container.config.host.exposed_ports)


def _has_any(ports: str, keys: Iterable[str]) -> bool:
    found = _PORTS.fullmatch(ports)
    if found is None:
        raise InvalidInputError(f"invalid filter: {ports!r} is no port or range of ports")
    first, last = int(found[1]), int(found[2] or found[1])
    if not 0 < first <= last <= _PORT_MAX:
        raise InvalidInputError(f"invalid filter: {ports!r} is no port or range of ports")
    pairs = (key.partition("/") for key in keys)
    return any(
        first <= int(port) <= last and protocol == (found[3] or "tcp")
        for port, _, protocol in pairs
    )
