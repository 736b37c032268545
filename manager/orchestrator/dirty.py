"""Whether a task still is as its service says."""

from collections.abc import Callable
from dataclasses import replace

from common.constraints import node_satisfies, parse_constraints
from common.model.endpoint import EndpointSpec
from common.model.node import Node
from common.model.service import Service
from common.model.task import Task, TaskSpec, TaskState

COMPARED_MAX = 1024
"""Pairs of specs whose comparison is remembered."""
_NO_ENDPOINT = EndpointSpec()


def is_dirty(task: Task, service: Service, node: Node | None) -> bool:
    """Whether the task must be replaced to be as the service says.

    A change of nothing but the placement leaves a task as it is while its node satisfies the new one.
    """
    if task.spec_version == service.spec_version:
        return False
    template = service.spec.task_template
    if not _are_equal(task.spec, template):
        is_kin = _differ_in_placement_only(task.spec, template)
        if not (is_kin and node is not None and satisfies_placement(service, node)):
            return True
    return task.status.state >= TaskState.PENDING and task.ports != service.endpoint.ports


class _Compared:
    """Remembers what comparing two specs gave: the tasks of a service share a few, which are compared over and over."""

    def __init__(self, compare: Callable[[TaskSpec, TaskSpec], bool]) -> None:
        self._compare = compare
        self._known: dict[tuple[int, int], tuple[TaskSpec, TaskSpec, bool]] = {}

    def __call__(self, one: TaskSpec, other: TaskSpec) -> bool:
        key = id(one), id(other)
        known = self._known.get(key)  # it holds both, so that no id is another's meanwhile
        if known is None:
            if len(self._known) >= COMPARED_MAX:
                self._known.clear()
            known = self._known[key] = (one, other, self._compare(one, other))
        return known[2]


_are_equal = _Compared(lambda one, other: one == other)
_differ_in_placement_only = _Compared(
    lambda one, other: replace(one, placement=other.placement) == other
)


def satisfies_placement(service: Service, node: Node) -> bool:
    """Whether the service's tasks may be on the node."""
    placement = service.spec.task_template.placement
    if placement is None or not placement.constraints:
        return True
    return node_satisfies(parse_constraints(placement.constraints), node)


def is_allocated(service: Service) -> bool:
    """Whether the allocator has seen what the service now publishes."""
    return service.endpoint.spec == (service.spec.endpoint_spec or _NO_ENDPOINT)
