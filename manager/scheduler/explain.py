"""Why a task has no node: the reasons as SwarmKit counts and words them."""

from collections.abc import Iterable, Mapping, Sequence

from common.model.task import Task
from manager.scheduler.cluster import Cluster
from manager.scheduler.demand import Demand
from manager.scheduler.filters import Filter, all_filters
from manager.scheduler.node_load import NodeLoad

NO_NODE = "no suitable node"


def explain(demand: Demand, service_id: str, cluster: Cluster) -> str:
    """Why no node takes (another) such task: every node is counted in the first filter that refuses it."""
    reasons = _reasons(demand, cluster.service_tasks(service_id), cluster.nodes)
    return f"{NO_NODE} ({reasons})" if reasons else NO_NODE


def explain_preassigned(task: Task, cluster: Cluster) -> str:
    """Why the node that a task was made for does not take it; empty when it would."""
    load = cluster.node(task.node_id)
    nodes = [] if load is None else [load]
    return _reasons(cluster.demand_of(task), cluster.service_tasks(task.service_id), nodes)


def _reasons(
    demand: Demand, service_tasks: Mapping[NodeLoad, int], nodes: Iterable[NodeLoad]
) -> str:
    filters = all_filters(demand, service_tasks)
    counts = [0] * len(filters)
    for load in nodes:
        number = _first_refusal(filters, load)
        if number is not None:
            counts[number] += 1
    by_count = sorted(zip(counts, filters, strict=True), key=lambda pair: -pair[0])
    return "; ".join(one.explain(count) for count, one in by_count if count)


def _first_refusal(filters: Sequence[Filter], load: NodeLoad) -> int | None:
    for number, one in enumerate(filters):
        if not one.room(load):
            return number
    return None
