"""A ``NodeSpec`` out of a request's body."""

from typing import Any

from common.engine_json import parse
from common.errors import InvalidInputError
from common.model.node import Availability, NodeSpec, Role
from manager.api.parse.raw import body_object, member


def parse_node_spec(raw: Any) -> NodeSpec:  # noqa: ANN401
    """Reads a spec. Role and availability must be said: nothing may change because it was left out.

    Raises:
        InvalidInputError: in Docker's words.
    """
    body = body_object(raw)
    for key, allowed in (("Role", Role), ("Availability", Availability)):
        given = member(body, key)
        if given not in list(allowed):
            raise InvalidInputError(f'invalid {key}: "{given or ""}"')
    return parse(NodeSpec, body, "NodeSpec")
