"""Whether what a service wants to publish is another service's already."""

from common.errors import InvalidInputError
from common.model.service import ServiceSpec
from manager.store.state import State


def check_port_conflicts(state: State, spec: ServiceSpec, *, except_id: str) -> None:
    """Refuses a published port that another service holds.

    Raises:
        InvalidInputError: in Docker's words, with the service that has it.
    """
    if spec.endpoint_spec is None:
        return
    for port in spec.endpoint_spec.ports:
        if port.published_port == 0:
            continue
        for other in state.services_publishing(port.protocol, port.published_port):
            if other.id != except_id:
                raise InvalidInputError(
                    f"port '{port.published_port}' is already in use by service "
                    f"'{other.spec.name}' ({other.id}) as an ingress port"
                )
