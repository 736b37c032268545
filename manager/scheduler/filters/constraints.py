"""Nodes must satisfy the constraints of the service's placement."""

from collections.abc import Iterable

from common.constraints import parse_constraints


def check_constraints(texts: Iterable[str]) -> None:
    """Refuses constraints that cannot be read, with Docker's words: for the API, when a service is created.

    Raises:
        InvalidInputError: one of them is not a constraint.
    """
    parse_constraints(texts)
