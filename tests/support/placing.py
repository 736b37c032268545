"""Nodes and tasks that state only what a test about placing is about."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from common.model.endpoint import PortConfig, PublishMode
from common.model.node import (
    Availability,
    Engine,
    Node,
    NodeDescription,
    NodeSpec,
    NodeState,
    NodeStatus,
    Role,
)
from common.model.placement import Placement, PlacementPreference, Platform, SpreadOver
from common.model.resources import (
    DiscreteResource,
    GenericResource,
    NamedResource,
    ResourceRequirements,
    Resources,
)
from common.model.task import Task, TaskSpec, TaskState, TaskStatus
from manager.scheduler.cluster import Cluster
from manager.scheduler.decide import decide
from manager.scheduler.group import Group
from manager.store.changes import AssignTask

CPU = 10**9
GIB = 1 << 30
NOW = 1_000.0


def units(kind: str, count: int) -> GenericResource:
    return GenericResource(discrete_resource_spec=DiscreteResource(kind=kind, value=count))


def named(kind: str, value: str) -> GenericResource:
    return GenericResource(named_resource_spec=NamedResource(kind=kind, value=value))


def node(
    node_id: str,
    *,
    cpus: float = 0,
    memory: float = 0,
    generic: Iterable[GenericResource] = (),
    labels: Mapping[str, str] | None = None,
    engine_labels: Mapping[str, str] | None = None,
    platform: str = "linux/x86_64",
    state: NodeState = NodeState.READY,
    availability: Availability = Availability.ACTIVE,
    role: Role = Role.WORKER,
    version: int = 1,
) -> Node:
    os, _, architecture = platform.partition("/")
    resources = Resources(
        nano_cpus=int(cpus * CPU),
        memory_bytes=int(memory * GIB),
        generic_resources=tuple(generic),
    )
    return Node(
        id=node_id,
        version=version,
        spec=NodeSpec(labels=labels or {}, availability=availability, role=role),
        description=NodeDescription(
            hostname=f"host-{node_id}",
            platform=Platform(os=os, architecture=architecture),
            resources=resources,
            engine=Engine(labels=engine_labels or {}),
        ),
        status=NodeStatus(state=state, addr="10.0.0.1"),
    )


def spec(
    *,
    cpus: float = 0,
    memory: float = 0,
    generic: Iterable[GenericResource] = (),
    constraints: Iterable[str] = (),
    spread: Iterable[str] = (),
    platforms: Iterable[str] = (),
    max_replicas: int = 0,
) -> TaskSpec:
    pairs = [text.partition("/") for text in platforms]
    return TaskSpec(
        resources=ResourceRequirements(
            reservations=Resources(
                nano_cpus=int(cpus * CPU),
                memory_bytes=int(memory * GIB),
                generic_resources=tuple(generic),
            )
        ),
        placement=Placement(
            constraints=tuple(constraints),
            preferences=tuple(
                PlacementPreference(spread=SpreadOver(spread_descriptor=key)) for key in spread
            ),
            platforms=tuple(Platform(os=os, architecture=arch) for os, _, arch in pairs),
            max_replicas=max_replicas,
        ),
    )


def host_port(number: int) -> PortConfig:
    return PortConfig(target_port=80, published_port=number, publish_mode=PublishMode.HOST)


def task(
    task_id: str,
    service: str = "web",
    of: TaskSpec | None = None,
    *,
    on: str = "",
    state: TaskState | None = None,
    desired: TaskState = TaskState.RUNNING,
    **fields: Any,
) -> Task:
    """Waiting, or running when ``on`` names a node and ``state`` says nothing else."""
    if state is None:
        state = TaskState.RUNNING if on else TaskState.PENDING
    return Task(
        id=task_id,
        version=fields.pop("version", 1),
        service_id=service,
        service_name=service,
        spec=of or TaskSpec(),
        spec_version=fields.pop("spec_version", 1),
        node_id=on,
        desired_state=desired,
        status=TaskStatus(state=state, err=fields.pop("err", ""), applied_at=fields.pop("at", NOW)),
        **fields,
    )


def tasks(count: int, service: str = "web", of: TaskSpec | None = None) -> list[Task]:
    shared = of or TaskSpec()
    return [task(f"{service}-{number}", service, shared) for number in range(count)]


def cluster_of(nodes: Iterable[Node], running: Iterable[Task] = ()) -> Cluster:
    cluster = Cluster()
    for there in nodes:
        cluster.see_node(None, there)
    for carried in running:
        cluster.see_task(None, carried)
    return cluster


def group_of(waiting: list[Task], cluster: Cluster) -> Group:
    first = waiting[0]
    return Group(
        key=(first.service_id, first.spec_version, cluster.demand_of(first)), tasks=waiting
    )


def place(waiting: list[Task], cluster: Cluster, now: float = NOW) -> list[AssignTask]:
    return decide(group_of(waiting, cluster), cluster, now)


def settle(waiting: list[Task], cluster: Cluster) -> list[Task]:
    """Decides, counts the decisions as made, and gives the tasks as they are then."""
    changes = place(waiting, cluster)
    for one, change in zip(waiting, changes, strict=False):
        cluster.expect(one, change, cluster.demand_of(one))
    return [assigned(one, change) for one, change in zip(waiting, changes, strict=False)]


def assigned(one: Task, change: AssignTask) -> Task:
    return replace(
        one,
        version=one.version + 1,
        node_id=change.node_id,
        generic_resources=change.generic_resources,
        status=TaskStatus(state=TaskState.ASSIGNED),
    )


def per_node(changes: Iterable[AssignTask]) -> dict[str, int]:
    return dict(Counter(change.node_id for change in changes))
