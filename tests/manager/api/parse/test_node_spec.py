"""What may be wanted of a node."""

from typing import Any

import pytest

from common.errors import InvalidInputError
from common.model.node import Availability, NodeSpec, Role
from manager.api.parse.node_spec import parse_node_spec


def test_reads_a_spec() -> None:
    given = {"Role": "manager", "Availability": "drain", "Labels": {"a": "b"}, "Name": "one"}
    assert parse_node_spec(given) == NodeSpec(
        name="one", labels={"a": "b"}, role=Role.MANAGER, availability=Availability.DRAIN
    )


INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "no role": ({"Availability": "active"}, 'invalid Role: ""'),
    "an unknown role": ({"Role": "king", "Availability": "active"}, 'invalid Role: "king"'),
    "no availability": ({"Role": "worker"}, 'invalid Availability: ""'),
    "a list for a role": ({"Role": [], "Availability": "active"}, 'invalid Role: ""'),
}


@pytest.mark.parametrize(("given", "expected"), INVALID.values(), ids=INVALID)
def test_refuses(given: dict[str, Any], expected: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_node_spec(given)
    assert str(caught.value) == expected
