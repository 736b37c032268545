"""Where waiting tasks go."""

from collections import Counter
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.constraints import node_satisfies, parse_constraints
from common.model.node import Availability, Node, NodeState
from common.model.task import Task, TaskSpec, TaskState
from manager.scheduler.cluster import Cluster
from manager.scheduler.decide import decide_preassigned
from tests.support.placing import (
    NOW,
    cluster_of,
    host_port,
    named,
    node,
    per_node,
    place,
    settle,
    spec,
    task,
    tasks,
    units,
)

Case = tuple[list[Node], list[Task], list[Task], dict[str, int]]

CASES: dict[str, Case] = {
    "one on each node while there are nodes": (
        [node("a"), node("b"), node("c")],
        [],
        tasks(3),
        {"a": 1, "b": 1, "c": 1},
    ),
    "then evenly": (
        [node("a"), node("b")],
        [],
        tasks(5),
        {"a": 3, "b": 2},
    ),
    "the node with fewer tasks of the service first, though it has more in all": (
        [node("a"), node("b")],
        [task("w", on="a"), *(task(f"o{n}", "other", on="b") for n in range(5))],
        tasks(1, "web"),
        {"b": 1},
    ),
    "of equal ones the node with fewer tasks in all": (
        [node("a"), node("b")],
        [task("o", "other", on="a")],
        tasks(1),
        {"b": 1},
    ),
    "a scaled service fills the gaps first": (
        [node("a"), node("b"), node("c")],
        [task("w1", on="a"), task("w2", on="a"), task("w3", on="b")],
        tasks(3),
        {"b": 1, "c": 2},
    ),
    "tasks that are stopping do not count": (
        [node("a"), node("b")],
        [task("w1", on="a", desired=TaskState.SHUTDOWN), task("o", "other", on="b")],
        tasks(1),
        {"a": 1},
    ),
    "tasks that ended do not count": (
        [node("a"), node("b")],
        [task("w1", on="a", state=TaskState.FAILED), task("o", "other", on="b")],
        tasks(1),
        {"a": 1},
    ),
    "nothing on nodes that are down, drained, paused or unknown": (
        [
            node("a", state=NodeState.DOWN),
            node("b", availability=Availability.DRAIN),
            node("c", availability=Availability.PAUSE),
            node("d", state=NodeState.UNKNOWN),
            node("e"),
        ],
        [],
        tasks(2),
        {"e": 2},
    ),
    "no nodes, no places": ([], [], tasks(2), {}),
    "only where constraints hold": (
        [node("a", labels={"disk": "ssd"}), node("b"), node("c", labels={"disk": "SSD"})],
        [],
        tasks(4, of=spec(constraints=["node.labels.disk==ssd"])),
        {"a": 2, "c": 2},
    ),
    "only on the image's platforms": (
        [node("a"), node("b", platform="linux/aarch64"), node("c", platform="windows/x86_64")],
        [],
        tasks(2, of=spec(platforms=["linux/amd64"])),
        {"a": 2},
    ),
    "a platform without an architecture fits any": (
        [node("a"), node("b", platform="linux/aarch64"), node("c", platform="windows/x86_64")],
        [],
        tasks(2, of=spec(platforms=["linux/"])),
        {"a": 1, "b": 1},
    ),
    "as many as the processors take": (
        [node("a", cpus=2), node("b", cpus=1)],
        [],
        tasks(9, of=spec(cpus=0.5)),
        {"a": 4, "b": 2},
    ),
    "as many as the memory takes": (
        [node("a", cpus=8, memory=2), node("b", cpus=8, memory=1)],
        [],
        tasks(9, of=spec(cpus=0.5, memory=1)),
        {"a": 2, "b": 1},
    ),
    "a task that is stopping still holds what it reserved": (
        [node("a", cpus=1)],
        [task("old", of=spec(cpus=1), on="a", desired=TaskState.SHUTDOWN)],
        tasks(1, of=spec(cpus=1)),
        {},
    ),
    "a task that has stopped does not": (
        [node("a", cpus=1)],
        [task("old", of=spec(cpus=1), on="a", state=TaskState.SHUTDOWN)],
        tasks(1, of=spec(cpus=1)),
        {"a": 1},
    ),
    "a node that carries more than it has takes nothing": (
        [node("a", cpus=1)],
        [task("old", of=spec(cpus=2), on="a")],
        tasks(1, of=spec(cpus=0.1)),
        {},
    ),
    "a port on the host is taken once": (
        [node("a"), node("b"), node("c")],
        [task("old", "other", on="c", ports=(host_port(80),))],
        [task(f"t{n}", ports=(host_port(80),)) for n in range(3)],
        {"a": 1, "b": 1},
    ),
    "another port on the host is free": (
        [node("a")],
        [task("old", "other", on="a", ports=(host_port(81),))],
        [task("t", ports=(host_port(80),))],
        {"a": 1},
    ),
    "no more replicas on a node than allowed": (
        [node("a"), node("b")],
        [task("w", of=spec(max_replicas=2), on="a")],
        tasks(5, of=spec(max_replicas=2)),
        {"a": 1, "b": 2},
    ),
    "user-defined resources are counted": (
        [node("a", generic=[units("gpu", 3)]), node("b")],
        [],
        tasks(3, of=spec(generic=[units("gpu", 2)])),
        {"a": 1},
    ),
    "branches grow even": (
        [
            node("a1", labels={"dc": "a"}),
            node("a2", labels={"dc": "a"}),
            node("b1", labels={"dc": "b"}),
        ],
        [],
        tasks(6, of=spec(spread=["node.labels.dc"])),
        {"a1": 2, "a2": 1, "b1": 3},
    ),
    "nodes without the label are a branch": (
        [node("a", labels={"dc": "a"}), node("x"), node("y")],
        [],
        tasks(4, of=spec(spread=["node.labels.dc"])),
        {"a": 2, "x": 1, "y": 1},
    ),
    "a full branch leaves the rest to the others": (
        [node("a", cpus=1, labels={"dc": "a"}), node("b", cpus=8, labels={"dc": "b"})],
        [],
        tasks(6, of=spec(cpus=1, spread=["node.labels.dc"])),
        {"a": 1, "b": 5},
    ),
    "a branch that is behind is filled first": (
        [node("a", labels={"dc": "a"}), node("b", labels={"dc": "b"})],
        [task(f"w{n}", of=spec(spread=["node.labels.dc"]), on="a") for n in range(3)],
        tasks(5, of=spec(spread=["node.labels.dc"])),
        {"b": 4, "a": 1},
    ),
    "branches within branches": (
        [
            node("a1", labels={"dc": "a", "rack": "1"}),
            node("a2", labels={"dc": "a", "rack": "2"}),
            node("b1", labels={"dc": "b", "rack": "1"}),
        ],
        [],
        tasks(8, of=spec(spread=["node.labels.dc", "node.labels.rack"])),
        {"a1": 2, "a2": 2, "b1": 4},
    ),
    "an engine's label divides too": (
        [node("a", engine_labels={"z": "1"}), node("b", engine_labels={"z": "2"})],
        [],
        tasks(2, of=spec(spread=["engine.labels.z"])),
        {"a": 1, "b": 1},
    ),
    "a preference over something that nodes do not have does nothing": (
        [node("a"), node("b")],
        [],
        tasks(2, of=spec(spread=["node.color"])),
        {"a": 1, "b": 1},
    ),
    "of even branches the one with the emptier node goes first": (
        [node("a", labels={"dc": "a"}), node("b", labels={"dc": "b"})],
        [task("o", "other", on="a")],
        tasks(1, of=spec(spread=["node.labels.dc"])),
        {"b": 1},
    ),
}


@pytest.mark.parametrize(("nodes", "running", "waiting", "expected"), CASES.values(), ids=CASES)
def test_decide(
    nodes: list[Node], running: list[Task], waiting: list[Task], expected: dict[str, int]
) -> None:
    assert expected == per_node(place(waiting, cluster_of(nodes, running)))


def failed(number: int, node_id: str, at: float, version: int = 1) -> Task:
    return task(f"f{number}", on=node_id, state=TaskState.FAILED, at=at, spec_version=version)


FAILURES: dict[str, tuple[list[Task], str]] = {
    "five failures within five minutes: elsewhere": ([failed(n, "a", NOW) for n in range(5)], "b"),
    "four do not matter": ([failed(n, "a", NOW) for n in range(4)], "a"),
    "old ones do not matter": ([failed(n, "a", NOW - 301) for n in range(5)], "a"),
    "those of another version do not matter": (
        [failed(n, "a", NOW, version=2) for n in range(9)],
        "a",
    ),
    "the node that fails less of two that fail": (
        [*(failed(n, "a", NOW) for n in range(6)), *(failed(n, "b", NOW) for n in range(6, 11))],
        "b",
    ),
}


@pytest.mark.parametrize(("failures", "expected"), FAILURES.values(), ids=FAILURES)
def test_recent_failures_outweigh_load(failures: list[Task], expected: str) -> None:
    busy = [task("o", "other", on="b")]
    cluster = cluster_of([node("a"), node("b")], [*busy, *failures])
    assert {expected: 1} == per_node(place(tasks(1), cluster))


def test_a_failing_node_is_better_than_none() -> None:
    cluster = cluster_of([node("a")], [failed(n, "a", NOW) for n in range(9)])
    assert per_node(place(tasks(2), cluster)) == {"a": 2}


def test_named_resources_are_given_one_by_one() -> None:
    gpus = [named("gpu", "uuid-1"), named("gpu", "uuid-2"), named("gpu", "uuid-3")]
    cluster = cluster_of([node("a", generic=gpus)])
    given_away = [place(tasks(2, of=spec(generic=[units("gpu", 1)])), cluster)[n] for n in (0, 1)]
    assert [(gpus[0],), (gpus[1],)] == [change.generic_resources for change in given_away]


def test_a_named_resource_comes_back_when_its_task_ends() -> None:
    gpu = named("gpu", "uuid-1")
    cluster = cluster_of([node("a", generic=[gpu])])
    (running,) = settle(tasks(1, of=spec(generic=[units("gpu", 1)])), cluster)
    again = [task("next", of=running.spec)]
    assert place(again, cluster) == []
    cluster.see_task(running, None)
    assert [(gpu,)] == [change.generic_resources for change in place(again, cluster)]


PREASSIGNED: dict[str, tuple[Node, Task, bool]] = {
    "goes to the node it was made for": (
        node("a"),
        task("t", on="a", state=TaskState.PENDING),
        True,
    ),
    "not to one that is drained": (
        node("a", availability=Availability.DRAIN),
        task("t", on="a", state=TaskState.PENDING),
        False,
    ),
    "not to one that lacks what it reserves": (
        node("a", cpus=1),
        task("t", of=spec(cpus=2), on="a", state=TaskState.PENDING),
        False,
    ),
    "not to one that is gone": (node("b"), task("t", on="a", state=TaskState.PENDING), False),
}


@pytest.mark.parametrize(("there", "waiting", "is_taken"), PREASSIGNED.values(), ids=PREASSIGNED)
def test_a_task_of_a_global_service(there: Node, waiting: Task, is_taken: bool) -> None:
    change = decide_preassigned(waiting, cluster_of([there]))
    assert is_taken == (change is not None and change.node_id == waiting.node_id)


# ------------------------------------------------------------------------------------ properties

LABELS = st.dictionaries(st.sampled_from(["dc", "disk"]), st.sampled_from(["a", "b", "c"]))
NODES = st.lists(
    st.builds(
        partial,
        st.just(node),
        cpus=st.integers(0, 4),
        memory=st.integers(0, 4),
        labels=LABELS,
        availability=st.sampled_from(Availability),
        generic=st.lists(
            st.sampled_from([units("gpu", 1), named("gpu", "x")]), max_size=3, unique=True
        ),
    ),
    max_size=6,
).map(lambda many: [build(f"n{number}") for number, build in enumerate(many)])
SPECS = st.builds(
    spec,
    cpus=st.sampled_from([0, 0.5, 1]),
    memory=st.sampled_from([0, 1]),
    generic=st.sampled_from([[], [units("gpu", 1)]]),
    constraints=st.sampled_from([[], ["node.labels.disk==a"], ["node.labels.dc!=b"]]),
    spread=st.sampled_from([[], ["node.labels.dc"], ["node.labels.dc", "node.labels.disk"]]),
    max_replicas=st.sampled_from([0, 0, 1, 2]),
)
SERVICES = st.lists(st.tuples(SPECS, st.integers(1, 12)), min_size=1, max_size=4)


def place_all(services: list[tuple[TaskSpec, int]], cluster: Cluster) -> list[Task]:
    return [
        placed
        for number, (shared, count) in enumerate(services)
        for placed in settle(tasks(count, f"s{number}", shared), cluster)
    ]


@given(NODES, SERVICES)
@settings(max_examples=200, deadline=None)
def test_no_node_takes_what_it_may_not(
    nodes: list[Node], services: list[tuple[TaskSpec, int]]
) -> None:
    placed = place_all(services, cluster_of(nodes))
    by_id = {one.id: one for one in nodes}
    for node_id, there in by_id.items():
        carried = [one for one in placed if one.node_id == node_id]
        reserved = [one.spec.resources.reservations for one in carried if one.spec.resources]
        has = there.description.resources
        assert sum(one.nano_cpus for one in reserved) <= has.nano_cpus, "processors over-committed"
        assert sum(one.memory_bytes for one in reserved) <= has.memory_bytes, (
            "memory over-committed"
        )
        given_away = [unit for one in carried for unit in one.generic_resources]
        assert len(given_away) <= len(has.generic_resources), "a user-defined unit given twice"
        assert not Counter(given_away) - Counter(has.generic_resources), "a unit it does not have"
    for one in placed:
        placement = one.spec.placement
        assert placement is not None
        assert by_id[one.node_id].spec.availability is Availability.ACTIVE
        assert node_satisfies(parse_constraints(placement.constraints), by_id[one.node_id])
        same = [
            other
            for other in placed
            if (other.service_id, other.node_id) == (one.service_id, one.node_id)
        ]
        assert len(same) <= (placement.max_replicas or len(same)), "more replicas than allowed"


@given(NODES, SERVICES)
@settings(max_examples=100, deadline=None)
def test_what_is_left_fits_nowhere(nodes: list[Node], services: list[tuple[TaskSpec, int]]) -> None:
    cluster = cluster_of(nodes)
    for number, (shared, count) in enumerate(services):
        waiting = tasks(count, f"s{number}", shared)
        left = waiting[len(settle(waiting, cluster)) :]
        if left:
            assert place(left, cluster) == [], "deciding again places nothing more"


@given(NODES, SERVICES)
@settings(max_examples=100, deadline=None)
def test_deciding_changes_nothing(nodes: list[Node], services: list[tuple[TaskSpec, int]]) -> None:
    cluster = cluster_of(nodes)
    place_all(services, cluster)
    waiting = tasks(7, "next", services[0][0])
    assert place(waiting, cluster) == place(waiting, cluster)


@given(st.integers(1, 9), st.lists(st.integers(1, 40), min_size=1, max_size=4))
def test_equal_nodes_get_equal_shares(nodes: int, counts: list[int]) -> None:
    cluster = cluster_of(node(f"n{number}") for number in range(nodes))
    placed = place_all([(TaskSpec(), count) for count in counts], cluster)
    for service in {one.service_id for one in placed}:
        shares = Counter(one.node_id for one in placed if one.service_id == service)
        numbers = [shares[f"n{number}"] for number in range(nodes)]
        assert max(numbers) - min(numbers) <= 1
    in_all = Counter(one.node_id for one in placed)
    numbers = [in_all[f"n{number}"] for number in range(nodes)]
    assert max(numbers) - min(numbers) <= 1


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=9), st.integers(1, 40))
def test_branches_get_equal_shares(centers: list[str], count: int) -> None:
    cluster = cluster_of(
        node(f"n{number}", labels={"dc": center}) for number, center in enumerate(centers)
    )
    placed = settle(tasks(count, of=spec(spread=["node.labels.dc"])), cluster)
    shares = Counter(centers[int(one.node_id[1:])] for one in placed)
    assert count == len(placed)
    numbers = [shares[center] for center in set(centers)]
    assert max(numbers) - min(numbers) <= 1
