"""The conditions that a node must meet to take a task: one module each, in the order of ``FILTERS``.

A filter is made for a demand (``None`` when the demand does not ask for anything it checks) and says how many more
such tasks it lets onto a node. The first filter that says 0 is the reason that ``explain`` counts for that node.
"""

from collections.abc import Callable, Mapping

from manager.scheduler.demand import Demand
from manager.scheduler.filters.constraints import check_constraints, constraint_filter
from manager.scheduler.filters.filter import UNLIMITED, Filter
from manager.scheduler.filters.host_ports import host_port_filter
from manager.scheduler.filters.max_replicas import MaxReplicas
from manager.scheduler.filters.platforms import platform_filter
from manager.scheduler.filters.ready import READY
from manager.scheduler.filters.resources import resource_filter
from manager.scheduler.node_load import NodeLoad

__all__ = [
    "LOAD_FILTERS",
    "SITE_FILTERS",
    "UNLIMITED",
    "Filter",
    "all_filters",
    "check_constraints",
    "load_filters",
    "site_filters",
]

SITE_FILTERS: tuple[Callable[[Demand], Filter | None], ...] = (
    lambda _demand: READY,
    constraint_filter,
    platform_filter,
)
"""What a node is: answers change only when the node's own object does, so that pools remember them."""

LOAD_FILTERS: tuple[Callable[[Demand], Filter | None], ...] = (resource_filter, host_port_filter)
"""What a node carries: asked again for each decision."""


def site_filters(demand: Demand) -> list[Filter]:
    """The filters that look at what nodes are."""
    return [made for make in SITE_FILTERS if (made := make(demand)) is not None]


def load_filters(demand: Demand) -> list[Filter]:
    """The filters that look at what nodes carry."""
    return [made for make in LOAD_FILTERS if (made := make(demand)) is not None]


def all_filters(demand: Demand, service_tasks: Mapping[NodeLoad, int]) -> list[Filter]:
    """Every filter in the order in which reasons are counted, SwarmKit's."""
    made = (
        READY,
        resource_filter(demand),
        constraint_filter(demand),
        platform_filter(demand),
        host_port_filter(demand),
        MaxReplicas(demand.max_replicas, service_tasks) if demand.max_replicas else None,
    )
    return [one for one in made if one is not None]
