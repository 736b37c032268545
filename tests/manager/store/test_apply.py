from collections.abc import Iterator, Sequence
from itertools import chain
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.codec import encode
from common.errors import ConflictError, NotFoundError, StaleVersionError, SwarmdError
from common.model.cluster import Cluster
from common.model.copy import changed
from common.model.endpoint import Endpoint, EndpointSpec, PortConfig, Protocol, PublishMode
from common.model.node import Node, NodeDescription, NodeState, NodeStatus
from common.model.resources import GenericResource, NamedResource
from common.model.service import Service, ServiceSpec
from common.model.task import Task, TaskSpec, TaskState, TaskStatus
from manager.store.apply import _EFFECTS, effects
from manager.store.changes import (
    AllocateTask,
    AssignTask,
    Change,
    Create,
    Delete,
    Entry,
    ExplainTask,
    ObserveTask,
    SetDesiredState,
    StoredObject,
    Update,
)
from manager.store.replica import Replica
from manager.store.state import State
from manager.store.watch import Changed

AT = 50.0
"""When the entry under test was proposed."""
INDEX = 9
PORT = PortConfig(target_port=80, published_port=8080)
GPU = GenericResource(named_resource_spec=NamedResource(kind="gpu", value="0"))


def stored(*objects: StoredObject) -> State:
    """A state that holds these objects just so."""
    state = State()
    state.put(5, [Changed(None, item) for item in objects])
    return state


def applied(state: State, *changes: Change) -> tuple[Changed, ...]:
    found = effects(state, Entry(at=AT, changes=changes), INDEX)
    state.put(INDEX, found)
    return found


def service(name: str, service_id: str = "s1", *, image: int = 0, version: int = 3) -> Service:
    spec = ServiceSpec(name=name, task_template=TaskSpec(force_update=image))
    return Service(id=service_id, version=version, created_at=1.0, spec=spec, spec_version=2)


def task(state: TaskState = TaskState.NEW, *, node_id: str = "", err: str = "") -> Task:
    status = TaskStatus(timestamp=7.0, state=state, err=err, applied_at=7.0)
    return Task(id="t1", version=3, created_at=1.0, node_id=node_id, status=status)


def status(state: TaskState, message: str = "", err: str = "") -> TaskStatus:
    return TaskStatus(timestamp=AT, state=state, message=message, err=err, applied_at=AT)


NODE = Node(id="n1", version=3)
WEB = service("web")
NEW = task()
PENDING = task(TaskState.PENDING)
RUNNING = task(TaskState.RUNNING, node_id="n1")
STAMP = {"version": INDEX, "updated_at": AT}
CREATED = STAMP | {"created_at": AT}

CHANGES: dict[str, tuple[tuple[StoredObject, ...], Change, Changed]] = {
    "a created service has the entry's index and time": (
        (),
        Create(object=Service(id="s1", spec=WEB.spec)),
        Changed(None, changed(WEB, **CREATED, spec_version=INDEX)),
    ),
    "a created node": ((), Create(object=NODE), Changed(None, changed(NODE, **CREATED))),
    "a created cluster": (
        (),
        Create(object=Cluster(id="c")),
        Changed(None, changed(Cluster(id="c"), **CREATED)),
    ),
    "a created task": ((), Create(object=NEW), Changed(None, changed(NEW, **CREATED))),
    "a changed spec has a new spec version": (
        (WEB,),
        Update(object=service("web", image=1)),
        Changed(WEB, changed(service("web", image=1), **STAMP, spec_version=INDEX)),
    ),
    "an unchanged spec keeps its spec version, whatever the update says": (
        (WEB,),
        Update(object=changed(WEB, spec_version=77, created_at=77.0)),
        Changed(WEB, changed(WEB, **STAMP)),
    ),
    "a service may be renamed, also to its own name in another case": (
        (WEB,),
        Update(object=service("WEB")),
        Changed(WEB, changed(service("WEB"), **STAMP, spec_version=INDEX)),
    ),
    "a node is updated": (
        (NODE,),
        Update(object=changed(NODE, status=NodeStatus(state=NodeState.DOWN))),
        Changed(NODE, changed(NODE, **STAMP, status=NodeStatus(state=NodeState.DOWN))),
    ),
    "a task is updated forward": (
        (RUNNING,),
        Update(object=changed(RUNNING, desired_state=TaskState.SHUTDOWN)),
        Changed(RUNNING, changed(RUNNING, **STAMP, desired_state=TaskState.SHUTDOWN)),
    ),
    "a deleted object": (
        (NODE,),
        Delete(table="node", id="n1", basis=3),
        Changed(NODE, None),
    ),
    "a deletion of any version": ((WEB,), Delete(table="service", id="s1"), Changed(WEB, None)),
    "an allocated task is pending": (
        (NEW,),
        AllocateTask(task_id="t1", basis=3, ports=(PORT,)),
        Changed(
            NEW,
            changed(
                NEW,
                **STAMP,
                ports=(PORT,),
                status=status(TaskState.PENDING, "pending task scheduling"),
            ),
        ),
    ),
    "an assigned task": (
        (PENDING, NODE),
        AssignTask(task_id="t1", basis=3, node_id="n1", generic_resources=(GPU,)),
        Changed(
            PENDING,
            changed(
                PENDING,
                **STAMP,
                node_id="n1",
                generic_resources=(GPU,),
                status=status(TaskState.ASSIGNED, "scheduler assigned task to node"),
            ),
        ),
    ),
    "a task of a global service is assigned to its own node": (
        (task(TaskState.PENDING, node_id="n1"), NODE),
        AssignTask(task_id="t1", basis=3, node_id="n1"),
        Changed(
            task(TaskState.PENDING, node_id="n1"),
            changed(
                task(node_id="n1"),
                **STAMP,
                status=status(
                    TaskState.ASSIGNED, "scheduler confirmed task can run on preassigned node"
                ),
            ),
        ),
    ),
    "a task is told why it waits": (
        (PENDING,),
        ExplainTask(task_id="t1", basis=3, err="no suitable node"),
        Changed(
            PENDING,
            changed(PENDING, **STAMP, status=status(TaskState.PENDING, err="no suitable node")),
        ),
    ),
    "a higher desired state": (
        (RUNNING,),
        SetDesiredState(task_id="t1", state=TaskState.REMOVE),
        Changed(RUNNING, changed(RUNNING, **STAMP, desired_state=TaskState.REMOVE)),
    ),
    "an observation of a higher state": (
        (RUNNING,),
        ObserveTask(task_id="t1", node_id="n1", status=TaskStatus(state=TaskState.FAILED)),
        Changed(
            RUNNING,
            changed(RUNNING, **STAMP, status=TaskStatus(state=TaskState.FAILED, applied_at=AT)),
        ),
    ),
    "the first observation of a running task says since when": (
        (task(TaskState.STARTING, node_id="n1"),),
        ObserveTask(task_id="t1", node_id="n1", status=TaskStatus(state=TaskState.RUNNING)),
        Changed(
            task(TaskState.STARTING, node_id="n1"),
            changed(
                RUNNING,
                **STAMP,
                status=TaskStatus(state=TaskState.RUNNING, applied_at=AT),
                running_at=AT,
            ),
        ),
    ),
    "news in the same state keep since when it runs": (
        (changed(RUNNING, running_at=8.0),),
        ObserveTask(
            task_id="t1",
            node_id="n1",
            status=TaskStatus(state=TaskState.RUNNING, message="healthy"),
        ),
        Changed(
            changed(RUNNING, running_at=8.0),
            changed(
                RUNNING,
                **STAMP,
                status=TaskStatus(state=TaskState.RUNNING, message="healthy", applied_at=AT),
                running_at=8.0,
            ),
        ),
    ),
}


@pytest.mark.parametrize(("objects", "change", "expected"), CHANGES.values(), ids=CHANGES)
def test_applies(objects: tuple[StoredObject, ...], change: Change, expected: Changed) -> None:
    assert applied(stored(*objects), change) == (expected,)


NOTHING: dict[str, tuple[tuple[StoredObject, ...], Change]] = {
    "the same explanation": (
        (task(TaskState.PENDING, err="why"),),
        ExplainTask(task_id="t1", basis=3, err="why"),
    ),
    "a desired state that is not higher": (
        (RUNNING,),
        SetDesiredState(task_id="t1", state=TaskState.RUNNING),
    ),
    "a desired state of a task that is gone": (
        (),
        SetDesiredState(task_id="t1", state=TaskState.REMOVE),
    ),
    "an observation of a task that is gone": (
        (),
        ObserveTask(task_id="t1", node_id="n1", status=TaskStatus(state=TaskState.FAILED)),
    ),
    "an observation by another node": (
        (RUNNING,),
        ObserveTask(task_id="t1", node_id="n2", status=TaskStatus(state=TaskState.FAILED)),
    ),
    "an observation of a lower state": (
        (RUNNING,),
        ObserveTask(task_id="t1", node_id="n1", status=TaskStatus(state=TaskState.STARTING)),
    ),
    "an observation that is known": (
        (RUNNING,),
        ObserveTask(task_id="t1", node_id="n1", status=changed(RUNNING.status, applied_at=AT + 1)),
    ),
}


@pytest.mark.parametrize(("objects", "change"), NOTHING.values(), ids=NOTHING)
def test_changes_nothing(objects: tuple[StoredObject, ...], change: Change) -> None:
    assert applied(stored(*objects), change) == ()


REFUSED: dict[str, tuple[tuple[StoredObject, ...], Change, type[SwarmdError], str]] = {
    "an id that is taken": (
        (NODE,),
        Create(object=NODE),
        ConflictError,
        "node n1 already exists",
    ),
    "a name that is taken in another case": (
        (WEB,),
        Create(object=service("Web", "s2")),
        ConflictError,
        "name conflicts with an existing object: service Web already exists",
    ),
    "renaming to a taken name": (
        (WEB, service("db", "s2")),
        Update(object=service("web", "s2")),
        ConflictError,
        "name conflicts with an existing object: service web already exists",
    ),
    "updating what is gone": ((), Update(object=WEB), NotFoundError, "service s1 not found"),
    "updating an older version": (
        (WEB,),
        Update(object=service("web", version=2)),
        StaleVersionError,
        "update out of sequence",
    ),
    "deleting what is gone": (
        (),
        Delete(table="service", id="s1"),
        NotFoundError,
        "service s1 not found",
    ),
    "deleting an older version": (
        (WEB,),
        Delete(table="service", id="s1", basis=2),
        StaleVersionError,
        "update out of sequence",
    ),
    "deleting from nowhere": (
        (),
        Delete(table="pod", id="s1"),
        NotFoundError,
        "there is no table pod",
    ),
    "a task back to an earlier state": (
        (RUNNING,),
        Update(object=changed(RUNNING, status=TaskStatus(state=TaskState.READY))),
        ConflictError,
        "task t1 cannot go back to an earlier state",
    ),
    "a task back to an earlier desired state": (
        (changed(RUNNING, desired_state=TaskState.SHUTDOWN),),
        Update(object=RUNNING),
        ConflictError,
        "task t1 cannot go back to an earlier state",
    ),
    "a task to another node": (
        (RUNNING,),
        Update(object=changed(RUNNING, node_id="n2")),
        ConflictError,
        "task t1 cannot move to another node",
    ),
    "assigning a task to another node than its own": (
        (task(TaskState.PENDING, node_id="n2"), NODE),
        AssignTask(task_id="t1", basis=3, node_id="n1"),
        ConflictError,
        "task t1 cannot move to another node",
    ),
    "assigning to a node that is gone": (
        (PENDING,),
        AssignTask(task_id="t1", basis=3, node_id="n1"),
        StaleVersionError,
        "node n1 is gone",
    ),
    "assigning what is not pending": (
        (NEW, NODE),
        AssignTask(task_id="t1", basis=3, node_id="n1"),
        ConflictError,
        "task t1 is new, not pending",
    ),
    "allocating on an older version": (
        (NEW,),
        AllocateTask(task_id="t1", basis=2),
        StaleVersionError,
        "update out of sequence",
    ),
    "explaining what is gone": (
        (),
        ExplainTask(task_id="t1", basis=3, err="x"),
        NotFoundError,
        "task t1 not found",
    ),
}


@pytest.mark.parametrize(("objects", "change", "kind", "message"), REFUSED.values(), ids=REFUSED)
def test_refuses(
    objects: tuple[StoredObject, ...], change: Change, kind: type[SwarmdError], message: str
) -> None:
    with pytest.raises(kind) as refused:
        applied(stored(*objects), change)
    assert (type(refused.value), refused.value.message) == (kind, message)


BATCHES: dict[str, tuple[tuple[Change, ...], list[tuple[bool, bool]]]] = {
    "an object that came and went did nothing": (
        (Create(object=NODE), Delete(table="node", id="n1")),
        [],
    ),
    "a name is free once its service is deleted": (
        (
            Create(object=service("web")),
            Delete(table="service", id="s1"),
            Create(object=service("web", "s2")),
        ),
        [(False, True)],
    ),
    "several changes of one object are one": (
        (
            Create(object=task(TaskState.RUNNING, node_id="n1")),
            SetDesiredState(task_id="t1", state=TaskState.SHUTDOWN),
            SetDesiredState(task_id="t1", state=TaskState.REMOVE),
        ),
        [(False, True)],
    ),
}


@pytest.mark.parametrize(("changes", "expected"), BATCHES.values(), ids=BATCHES)
def test_a_change_sees_those_before_it(
    changes: tuple[Change, ...], expected: list[tuple[bool, bool]]
) -> None:
    found = applied(State(), *changes)
    assert [(item.old is not None, item.new is not None) for item in found] == expected


def test_a_second_decision_on_the_same_version_is_stale_within_one_entry() -> None:
    with pytest.raises(StaleVersionError):
        applied(stored(WEB), Update(object=service("web", image=1)), Update(object=WEB))


def test_two_services_cannot_take_one_name_in_one_entry() -> None:
    with pytest.raises(ConflictError):
        applied(State(), Create(object=service("a")), Create(object=service("A", "s2")))


def test_names_may_be_swapped_in_three_steps() -> None:
    state = stored(service("a"), service("b", "s2"))
    applied(
        state,
        Delete(table="service", id="s1"),
        Update(object=service("a", "s2")),
        Create(object=service("b", "s3")),
    )
    assert [state.find_service(name).id for name in "ab"] == ["s2", "s3"]


def test_every_change_has_an_effect() -> None:
    assert set(_EFFECTS) == set(get_args(Change))


# --------------------------------------------------------------------------------------- properties

IDS = st.sampled_from(["x", "y", "z"])
STATES = st.sampled_from(list(TaskState))
NAMES = st.sampled_from(["web", "Web", "db"])
PORTS = st.lists(
    st.builds(
        PortConfig,
        published_port=st.sampled_from([0, 80, 81]),
        protocol=st.sampled_from(Protocol),
        publish_mode=st.sampled_from(PublishMode),
    ),
    max_size=2,
).map(tuple)
VERSIONS = st.integers(0, 12)
SERVICES = st.builds(
    Service,
    id=IDS,
    version=VERSIONS,
    spec=st.builds(
        ServiceSpec, name=NAMES, endpoint_spec=st.none() | st.builds(EndpointSpec, ports=PORTS)
    ),
    endpoint=st.builds(Endpoint, ports=PORTS),
)
STATUSES = st.builds(TaskStatus, state=STATES, message=st.sampled_from(["", "m"]))
TASKS = st.builds(
    Task,
    id=IDS,
    version=VERSIONS,
    service_id=IDS,
    node_id=st.just("") | IDS,
    status=STATUSES,
    desired_state=STATES,
)
NODES = st.builds(
    Node,
    id=IDS,
    version=VERSIONS,
    description=st.builds(NodeDescription, hostname=st.sampled_from(["h1", "h2"])),
)
OBJECTS: st.SearchStrategy[StoredObject] = st.one_of(SERVICES, TASKS, NODES)
ONE_CHANGE: st.SearchStrategy[Change] = st.one_of(
    st.builds(Create, object=OBJECTS),
    st.builds(Create, object=st.builds(Task, id=IDS, service_id=IDS)),
    st.builds(Update, object=OBJECTS),
    st.builds(
        Delete,
        table=st.sampled_from(["service", "task", "node"]),
        id=IDS,
        basis=st.just(0) | VERSIONS,
    ),
    st.builds(AllocateTask, task_id=IDS, basis=VERSIONS),
    st.builds(AssignTask, task_id=IDS, basis=VERSIONS, node_id=IDS),
    st.builds(ExplainTask, task_id=IDS, basis=VERSIONS, err=st.sampled_from(["", "e"])),
    st.builds(SetDesiredState, task_id=IDS, state=STATES),
    st.builds(ObserveTask, task_id=IDS, node_id=IDS, status=STATUSES),
)
Step = tuple[Change, bool]
"""A change, and whether it is decided on what is stored (or on any version)."""
HISTORIES = st.lists(
    st.lists(
        st.tuples(ONE_CHANGE, st.sampled_from([True, True, True, False])), min_size=1, max_size=2
    ),
    min_size=5,
    max_size=20,
)
BEGINNING: list[list[Step]] = [
    [(Create(object=Node(id=node_id)), False) for node_id in "xy"],
    [(Create(object=service(name, name[0])), False) for name in ("xylophone", "yacht")],
    [
        (Create(object=Task(id="x", service_id="x")), False),
        (Create(object=changed(PENDING, id="y", service_id="x")), False),
        (Create(object=changed(RUNNING, id="z", service_id="y", node_id="x")), False),
    ],
]
"""Histories start with something to change, or most of what they try would be refused."""


def decided(state: State, step: Step) -> Change:
    """The change on the version that is stored, when the step says so."""
    change, on_what_is_stored = step
    if not on_what_is_stored:
        return change
    if isinstance(change, Update):
        kind = type(change.object).__name__.lower()
        version = version_in(state, kind, change.object.id)
        return Update(object=changed(change.object, version=version))
    if isinstance(change, Delete):
        return changed(change, basis=version_in(state, change.table, change.id))
    if isinstance(change, AllocateTask | AssignTask | ExplainTask):
        return changed(change, basis=version_in(state, "task", change.task_id))
    return change


def version_in(state: State, table: str, object_id: str) -> int:
    found = picture(state)[f"{table}s"].get(object_id)
    return found.version if found else 1


def picture(state: State) -> dict[str, dict[str, StoredObject]]:
    return {
        "services": dict(state.services),
        "tasks": dict(state.tasks),
        "nodes": dict(state.nodes),
    }


def lived(replica: Replica, history: Sequence[Sequence[Step]]) -> Iterator[Entry]:
    """Lets a replica live through a history; gives each entry before it is applied."""
    for index, steps in enumerate([*BEGINNING, *history], 1):
        changes = tuple(decided(replica.state, step) for step in steps)
        entry = Entry(at=float(index), changes=changes)
        yield entry
        request = index.to_bytes(16, "big")
        replica.expect(request, entry)
        replica.apply(index, request, b"")


@settings(deadline=None, max_examples=50)
@given(HISTORIES)
def test_an_entry_is_applied_whole_or_not_at_all(history: list[list[Step]]) -> None:
    replica = Replica()
    for entry in lived(replica, history):
        before = picture(replica.state)
        try:
            found = effects(replica.state, entry, replica.state.index + 1)
        except (ConflictError, NotFoundError):
            found = ()
        assert picture(replica.state) == before
        for item in found:
            assert item.new is None or item.new.version == replica.state.index + 1
            assert item.old is None or item.old.version <= replica.state.index


@settings(deadline=None, max_examples=50)
@given(HISTORIES)
def test_replaying_the_log_gives_an_equal_state(history: list[list[Step]]) -> None:
    one, other = Replica(), Replica()
    for index, entry in enumerate(lived(one, history), 1):
        other.apply(index, index.to_bytes(16, "big"), encode(entry))
    assert picture(one.state) == picture(other.state)
    assert one.state.index == other.state.index


@settings(deadline=None, max_examples=50)
@given(HISTORIES)
def test_tasks_only_go_forward(history: list[list[Step]]) -> None:
    replica = Replica()
    before: dict[str, Task] = {}
    last: Entry | None = None
    for entry in chain(lived(replica, history), [None]):
        created = {c.object.id for c in last.changes if isinstance(c, Create)} if last else set()
        for task_id, old in before.items():
            new = replica.state.tasks.get(task_id)
            if new is not None and task_id not in created:
                assert new.status.state >= old.status.state
                assert new.desired_state >= old.desired_state
                assert old.node_id in ("", new.node_id)
        before, last = dict(replica.state.tasks), entry


@settings(deadline=None, max_examples=50)
@given(HISTORIES)
def test_indexes_say_the_same_as_the_tables(history: list[list[Step]]) -> None:
    replica = Replica()
    for _ in lived(replica, history):
        check_indexes(replica.state)
    check_indexes(replica.state)


def check_indexes(state: State) -> None:
    for key in ("x", "y", "z"):
        of_service = {t.id: t for t in state.tasks.values() if t.service_id == key}
        on_node = {t.id: t for t in state.tasks.values() if t.node_id == key}
        assert {t.id: t for t in state.tasks_of_service(key)} == of_service
        assert {t.id: t for t in state.tasks_of_node(key)} == on_node
    folded = [s.spec.name.casefold() for s in state.services.values()]
    assert len(folded) == len(set(folded))
    for name in ("web", "Web", "db"):
        named = [s for s in state.services.values() if s.spec.name == name]
        assert state.service_named(name) == (named[0] if named else None)
    for port in (0, 80, 81):
        for protocol in Protocol:
            publishing = {s.id for s in state.services.values() if publishes(s, protocol, port)}
            assert {s.id for s in state.services_publishing(protocol, port)} == publishing


def publishes(service: Service, protocol: Protocol, port: int) -> bool:
    asked = service.spec.endpoint_spec.ports if service.spec.endpoint_spec else ()
    return port != 0 and any(
        (p.protocol, p.published_port, p.publish_mode) == (protocol, port, PublishMode.INGRESS)
        for p in (*asked, *service.endpoint.ports)
    )
