"""Checks of how a service is reached."""

from common.errors import InvalidInputError
from common.model.endpoint import EndpointMode, EndpointSpec, PortConfig, PublishMode

PORT_MAX = 65_535


def check_endpoint_spec(spec: EndpointSpec) -> None:
    """Refuses ports that cannot be, or that contradict each other.

    Raises:
        InvalidInputError: in Docker's words.
    """
    taken = set()
    for port in spec.ports:
        _check_numbers(port)
        if spec.mode is EndpointMode.DNSRR and port.publish_mode is PublishMode.INGRESS:
            raise InvalidInputError(
                "EndpointSpec: port published with ingress mode can't be used with dnsrr mode"
            )
        if port.published_port == 0:
            continue
        if (port.published_port, port.protocol) in taken:
            raise InvalidInputError("EndpointSpec: duplicate published ports provided")
        taken.add((port.published_port, port.protocol))


def _check_numbers(port: PortConfig) -> None:
    if not 1 <= port.target_port <= PORT_MAX:
        raise InvalidInputError(f"EndpointSpec: invalid target port {port.target_port}")
    if not 0 <= port.published_port <= PORT_MAX:
        raise InvalidInputError(f"EndpointSpec: invalid published port {port.published_port}")
