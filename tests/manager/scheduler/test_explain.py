"""Why a task has no node, in SwarmKit's words."""

import pytest

from common.model.node import Availability, Node, NodeState
from common.model.task import Task, TaskState
from manager.scheduler.explain import explain, explain_preassigned
from tests.support.placing import cluster_of, host_port, node, settle, spec, task, tasks

CASES: dict[str, tuple[list[Node], Task, str]] = {
    "there are no nodes": ([], task("t"), "no suitable node"),
    "one node is down": (
        [node("a", state=NodeState.DOWN)],
        task("t"),
        "no suitable node (1 node not available for new tasks)",
    ),
    "several are not open": (
        [node("a", availability=Availability.PAUSE), node("b", availability=Availability.DRAIN)],
        task("t"),
        "no suitable node (2 nodes not available for new tasks)",
    ),
    "resources are short": (
        [node("a", cpus=1)],
        task("t", of=spec(cpus=2)),
        "no suitable node (insufficient resources on 1 node)",
    ),
    "the reason that most nodes have stands first": (
        [
            node("a", cpus=1),
            *(node(f"b{n}", cpus=4) for n in range(3)),
            node("c", state=NodeState.DOWN),
            node("d", state=NodeState.DOWN),
        ],
        task("t", of=spec(cpus=2, constraints=["node.role==manager"])),
        (
            "no suitable node (scheduling constraints not satisfied on 3 nodes; "
            "2 nodes not available for new tasks; insufficient resources on 1 node)"
        ),
    ),
    "the platform is another": (
        [node("a", platform="linux/aarch64")],
        task("t", of=spec(platforms=["linux/amd64"])),
        "no suitable node (unsupported platform on 1 node)",
    ),
}


@pytest.mark.parametrize(("nodes", "waiting", "expected"), CASES.values(), ids=CASES)
def test_explain(nodes: list[Node], waiting: Task, expected: str) -> None:
    cluster = cluster_of(nodes)
    assert expected == explain(cluster.demand_of(waiting), waiting.service_id, cluster)


def test_a_port_that_is_taken() -> None:
    waiting = task("t", ports=(host_port(80),))
    cluster = cluster_of([node("a")], [task("o", on="a", ports=(host_port(80),))])
    expected = "no suitable node (host-mode port already in use on 1 node)"
    assert expected == explain(cluster.demand_of(waiting), "web", cluster)


def test_what_the_group_itself_has_filled_counts() -> None:
    cluster = cluster_of([node("a", cpus=1), node("b", cpus=1)])
    waiting = tasks(3, of=spec(cpus=1, max_replicas=1))
    settle(waiting, cluster)
    expected = "no suitable node (insufficient resources on 2 nodes)"
    assert expected == explain(cluster.demand_of(waiting[0]), "web", cluster)


def test_the_limit_of_replicas() -> None:
    cluster = cluster_of([node("a")])
    waiting = tasks(2, of=spec(max_replicas=1))
    settle(waiting, cluster)
    expected = "no suitable node (max replicas per node limit exceed)"
    assert expected == explain(cluster.demand_of(waiting[0]), "web", cluster)


def test_a_task_of_a_global_service_speaks_of_its_node_only() -> None:
    waiting = task("t", of=spec(cpus=2), on="a", state=TaskState.PENDING)
    cluster = cluster_of([node("a", cpus=1), node("b", state=NodeState.DOWN)])
    assert explain_preassigned(waiting, cluster) == "insufficient resources on 1 node"
