"""Whether a task still is as its service says."""

from dataclasses import replace

from common.constraints import node_satisfies, parse_constraints
from common.model.endpoint import EndpointSpec
from common.model.node import Node
from common.model.service import Service
from common.model.task import Task, TaskState

_NO_ENDPOINT = EndpointSpec()


def is_dirty(task: Task, service: Service, node: Node | None) -> bool:
    """Whether the task must be replaced to be as the service says.

    A change of nothing but the placement leaves a task as it is while its node satisfies the new one.
    """
    if task.spec_version == service.spec_version:
        return False
    template = service.spec.task_template
    if task.spec is not template and task.spec != template:
        same_but_for_placement = replace(task.spec, placement=template.placement) == template
        if not (same_but_for_placement and node is not None and satisfies_placement(service, node)):
            return True
    return task.status.state >= TaskState.PENDING and task.ports != service.endpoint.ports


def satisfies_placement(service: Service, node: Node) -> bool:
    """Whether the service's tasks may be on the node."""
    placement = service.spec.task_template.placement
    if placement is None or not placement.constraints:
        return True
    return node_satisfies(parse_constraints(placement.constraints), node)


def is_allocated(service: Service) -> bool:
    """Whether the allocator has seen what the service now publishes."""
    return service.endpoint.spec == (service.spec.endpoint_spec or _NO_ENDPOINT)
