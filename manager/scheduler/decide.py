"""Where waiting tasks go: pure, on the indexed cluster.

Each answer is for one group; the caller tells the cluster to ``expect`` it before it asks for the next.
"""

from collections.abc import Iterator

from common.model.resources import GenericResource
from common.model.task import Task
from manager.scheduler.cluster import Cluster
from manager.scheduler.filters import all_filters, load_filters
from manager.scheduler.filters.max_replicas import MaxReplicas
from manager.scheduler.group import Group
from manager.scheduler.node_load import NodeLoad
from manager.scheduler.pools import Order
from manager.scheduler.rank import Ranking, ranked
from manager.scheduler.spread import spread
from manager.store.changes import AssignTask

_EMPTY = Order()


def decide(group: Group, cluster: Cluster, now: float) -> list[AssignTask]:
    """Nodes for as many of the group's tasks as there is room for, in the order of its tasks."""
    nodes = _nodes(group, cluster, now)
    if group.demand.generic:
        return _with_claims(group, nodes)
    return [
        AssignTask(task_id=task.id, basis=task.version, node_id=load.id)
        for task, load in zip(group.tasks, nodes, strict=False)
    ]


def decide_preassigned(task: Task, cluster: Cluster) -> AssignTask | None:
    """A task of a global service goes to the node that it was made for, if that node can take it."""
    load = cluster.node(task.node_id)
    if load is None:
        return None
    demand = cluster.demand_of(task)
    filters = all_filters(demand, cluster.service_tasks(task.service_id))
    if not all(one.room(load) for one in filters):
        return None
    return AssignTask(
        task_id=task.id,
        basis=task.version,
        node_id=load.id,
        generic_resources=tuple(load.claim(demand, ())),
    )


def _nodes(group: Group, cluster: Cluster, now: float) -> Iterator[NodeLoad]:
    service_id, version, demand = group.key
    service_tasks = cluster.service_tasks(service_id)
    filters = load_filters(demand)
    if demand.max_replicas:
        filters.append(MaxReplicas(demand.max_replicas, service_tasks))
    ranking = Ranking(
        filters=filters,
        service_tasks=service_tasks,
        failing=cluster.failures.failing((service_id, version), now),
    )
    pool = cluster.pool_of(demand)
    if demand.site.spread_over:
        return spread(pool, ranking)
    return ranked(pool.branches.get((), _EMPTY), ranking)


def _with_claims(group: Group, nodes: Iterator[NodeLoad]) -> list[AssignTask]:
    claimed: dict[NodeLoad, list[GenericResource]] = {}
    changes = []
    for task, load in zip(group.tasks, nodes, strict=False):
        already = claimed.setdefault(load, [])
        units = load.claim(group.demand, already)
        already.extend(units)
        changes.append(
            AssignTask(
                task_id=task.id,
                basis=task.version,
                node_id=load.id,
                generic_resources=tuple(units),
            )
        )
    return changes
