"""The indexed cluster is what it would be if it were counted afresh."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from common.model.node import Availability, Node
from common.model.task import Task, TaskState, TaskStatus
from manager.scheduler.cluster import Cluster
from manager.scheduler.demand import PLAIN, Demand
from manager.scheduler.filters import load_filters
from manager.scheduler.node_load import NodeLoad
from manager.scheduler.pools import OWN_POOL_AFTER
from manager.store.changes import AssignTask
from tests.support.placing import (
    cluster_of,
    host_port,
    named,
    node,
    place,
    settle,
    spec,
    task,
    tasks,
    units,
)

NODE_IDS = ["a", "b", "c"]
SPECS = [
    spec(),
    spec(cpus=1),
    spec(memory=1, spread=["node.labels.dc"]),
    spec(generic=[units("gpu", 1)]),
    spec(constraints=["node.labels.dc==x"]),
]
STATES = [TaskState.PENDING, TaskState.ASSIGNED, TaskState.RUNNING, TaskState.FAILED]
DESIRED = [TaskState.RUNNING, TaskState.SHUTDOWN]

CHANGED_NODES = st.builds(
    node,
    st.sampled_from(NODE_IDS),
    cpus=st.integers(0, 3),
    labels=st.sampled_from([{}, {"dc": "x"}, {"dc": "y"}]),
    availability=st.sampled_from(Availability),
    generic=st.just([named("gpu", "u1"), named("gpu", "u2"), units("gpu", 9)]),
)
CHANGED_TASKS = st.builds(
    task,
    st.sampled_from([f"t{number}" for number in range(6)]),
    st.sampled_from(["web", "db"]),
    st.sampled_from(SPECS),
    on=st.sampled_from(NODE_IDS),
    state=st.sampled_from(STATES),
    desired=st.sampled_from(DESIRED),
    ports=st.sampled_from([(), (host_port(80),)]),
    generic_resources=st.just((units("gpu", 1),)),
)
REMOVED = st.sampled_from([*NODE_IDS, *(f"t{number}" for number in range(6))])
HISTORY = st.lists(st.one_of(CHANGED_NODES, CHANGED_TASKS, REMOVED), max_size=30)


def live(history: Sequence[Node | Task | str]) -> tuple[Cluster, list[Node], list[Task]]:
    cluster, nodes, all_tasks = Cluster(), dict[str, Node](), dict[str, Task]()
    for event in history:
        match event:
            case Node():
                cluster.see_node(nodes.get(event.id), event)
                nodes[event.id] = event
            case Task():
                before = all_tasks.get(event.id)
                after = event if before is None else moved_on(before, event)
                cluster.see_task(before, after)
                all_tasks[event.id] = after
            case removed:
                cluster.see_node(nodes.pop(removed, None), None)
                cluster.see_task(all_tasks.pop(removed, None), None)
        for demand in (PLAIN, *(cluster.demand_of(task("x", of=one)) for one in SPECS)):
            cluster.pool_of(demand)  # so that pools catch up, rather than being made at the end
    return cluster, list(nodes.values()), list(all_tasks.values())


def moved_on(before: Task, event: Task) -> Task:
    """The same task later: states only grow, and the rest stays."""
    state = max(before.status.state, event.status.state)
    desired = max(before.desired_state, event.desired_state)
    return replace(before, desired_state=desired, status=TaskStatus(state=state))


def counts(cluster: Cluster) -> dict[str, object]:
    demands = [PLAIN, *(cluster.demand_of(task("x", of=one)) for one in SPECS)]
    return {
        "nodes": {
            load.id: (
                load.is_ready,
                load.tasks,
                load.occupants,
                load.free_nano_cpus,
                load.free_memory_bytes,
                load.free_generic("gpu"),
                load.host_ports,
            )
            for load in cluster.nodes
        },
        "services": {
            service: {load.id: count for load, count in cluster.service_tasks(service).items()}
            for service in ("web", "db")
        },
        "pools": [
            {
                branch: nodes
                for branch, order in cluster.pool_of(demand).branches.items()
                if (nodes := sorted((load.tasks, load.id) for load in order if fits(demand, load)))
            }
            for demand in demands
        ],
        "is in order": all(
            [load.tasks for load in order] == sorted(load.tasks for load in order)
            for demand in demands
            for order in cluster.pool_of(demand).branches.values()
        ),
    }


def fits(demand: Demand, load: NodeLoad) -> bool:
    """Leaves out what is full: whether a pool still holds those depends on how often it was asked for."""
    return all(one.room(load) for one in load_filters(demand))


@given(HISTORY)
@settings(max_examples=300, deadline=None)
def test_changes_one_by_one_add_up(history: list[Node | Task | str]) -> None:
    cluster, nodes, all_tasks = live(history)
    expected = counts(cluster_of(nodes, all_tasks))
    assert expected == counts(cluster)


@given(HISTORY)
@settings(max_examples=100, deadline=None)
def test_what_was_expected_and_refused_leaves_no_trace(history: list[Node | Task | str]) -> None:
    cluster, nodes, all_tasks = live(history)
    waiting = tasks(5, "web", SPECS[1])
    for one, change in zip(waiting, place(waiting, cluster), strict=False):
        cluster.expect(one, change, cluster.demand_of(one))
    for one in waiting:
        cluster.forget(one)
    assert counts(cluster_of(nodes, all_tasks)) == counts(cluster)


def expected_on_a() -> tuple[Cluster, Task]:
    cluster = cluster_of([node("a", cpus=1), node("b", cpus=1)])
    waiting = task("t", of=spec(cpus=1))
    change = AssignTask(task_id="t", basis=1, node_id="a")
    cluster.expect(waiting, change, cluster.demand_of(waiting))
    return cluster, waiting


def test_a_demand_asked_for_often_no_longer_passes_over_full_nodes() -> None:
    cluster = cluster_of([node("full", cpus=1), *(node(f"n{n}", cpus=100) for n in range(9))])
    settle(tasks(30, of=spec(cpus=1)), cluster)
    demand = cluster.demand_of(task("x", of=spec(cpus=1)))
    held = {load.id for _ in range(OWN_POOL_AFTER) for load in cluster.pool_of(demand).branches[()]}
    assert "full" in held
    assert "full" not in {load.id for load in cluster.pool_of(demand).branches[()]}


def test_what_was_expected_and_committed_counts_once() -> None:
    cluster, waiting = expected_on_a()
    committed = replace(waiting, node_id="a", status=TaskStatus(state=TaskState.ASSIGNED))
    cluster.see_task(waiting, committed)
    cluster.forget(waiting)
    assert counts(cluster_of([node("a", cpus=1), node("b", cpus=1)], [committed])) == counts(
        cluster
    )


def test_a_change_that_crosses_an_expected_assignment_takes_it_back() -> None:
    cluster, waiting = expected_on_a()
    cluster.see_task(waiting, replace(waiting, desired_state=TaskState.SHUTDOWN))
    assert counts(cluster_of([node("a", cpus=1), node("b", cpus=1)])) == counts(cluster)


def test_a_node_that_returns_still_carries_its_tasks() -> None:
    running = task("t", of=spec(cpus=1), on="a")
    cluster = cluster_of([node("a", cpus=2)], [running])
    cluster.see_node(node("a", cpus=2), None)
    assert cluster.node("a") is None
    cluster.see_node(None, node("a", cpus=2))
    load = cluster.node("a")
    assert load is not None
    assert (load.tasks, load.free_nano_cpus) == (1, 10**9)


def test_a_heartbeat_is_no_change() -> None:
    cluster = cluster_of([node("a")])
    before = cluster.stamp
    cluster.see_node(node("a"), node("a", version=2))
    assert before == cluster.stamp
