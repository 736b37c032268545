"""Nodes must satisfy the constraints of the service's placement."""

from collections.abc import Iterable

from common.constraints import Constraint, node_satisfies, parse_constraints
from manager.scheduler.demand import Demand
from manager.scheduler.filters.filter import UNLIMITED, on_nodes
from manager.scheduler.node_load import NodeLoad


def check_constraints(texts: Iterable[str]) -> None:
    """Refuses constraints that cannot be read, with Docker's words: for the API, when a service is created.

    Raises:
        InvalidInputError: one of them is not a constraint.
    """
    parse_constraints(texts)


class _Constraints:
    """All of these."""

    def __init__(self, constraints: tuple[Constraint, ...]) -> None:
        self._constraints = constraints

    def room(self, load: NodeLoad) -> int:
        """All or nothing."""
        is_match = load.node is not None and node_satisfies(self._constraints, load.node)
        return UNLIMITED if is_match else 0

    def explain(self, nodes: int) -> str:
        """SwarmKit's words."""
        return on_nodes("scheduling constraints not satisfied", nodes)


def constraint_filter(demand: Demand) -> _Constraints | None:
    """The filter for a demand, when it has constraints."""
    return _Constraints(demand.site.constraints) if demand.site.constraints else None
