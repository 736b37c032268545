"""Any small cluster that the store could hold, for properties (hypothesis)."""

from dataclasses import replace

from hypothesis import strategies as st

from common.model.node import Availability, Node, NodeState
from common.model.policies import (
    FailureAction,
    RestartCondition,
    RestartPolicy,
    UpdateConfig,
    UpdateOrder,
)
from common.model.service import Service, UpdateState, UpdateStatus
from common.model.task import Task, TaskState
from tests.support.builders import NOW, node, service, task, template, updated

S = TaskState
NODES = ("n1", "n2", "n3")

nodes = st.builds(
    lambda parts: [node(name, state=s, availability=a) for name, (s, a) in parts.items()],
    st.dictionaries(
        st.sampled_from(NODES),
        st.tuples(
            st.sampled_from((NodeState.READY, NodeState.READY, NodeState.DOWN, NodeState.UNKNOWN)),
            st.sampled_from(
                (Availability.ACTIVE, Availability.ACTIVE, Availability.DRAIN, Availability.PAUSE)
            ),
        ),
    ),
)

configs = st.none() | st.builds(
    UpdateConfig,
    parallelism=st.integers(0, 3),
    delay_seconds=st.sampled_from((0.0, 7.0)),
    failure_action=st.sampled_from(FailureAction),
    max_failure_ratio=st.sampled_from((0.0, 0.3, 1.0)),
    order=st.sampled_from(UpdateOrder),
)

restarts = st.none() | st.builds(
    RestartPolicy,
    condition=st.sampled_from(RestartCondition),
    delay_seconds=st.sampled_from((None, 0.0, 30.0)),
    max_attempts=st.sampled_from((None, 1, 2)),
    window_seconds=st.sampled_from((None, 20.0)),
)

statuses = st.none() | st.builds(
    UpdateStatus, state=st.sampled_from(UpdateState), started_at=st.just(NOW - 50)
)


@st.composite
def services(draw: st.DrawFn, *, is_global: bool = False) -> tuple[Service, Service]:
    """A service, and what it was before its last update: its tasks may be of either."""
    replicas = None if is_global else draw(st.integers(0, 4))
    old = service(
        replicas, spec=template("web:1", restart=draw(restarts)), update=draw(configs), version=10
    )
    if not draw(st.booleans()):
        return replace(old, update_status=draw(statuses)), old
    new = replace(updated(old), update_status=draw(statuses))
    spec = replace(new.spec, task_template=template("web:2", restart=draw(restarts)))
    return replace(new, spec=replace(spec, rollback_config=draw(configs))), old


@st.composite
def tasks(draw: st.DrawFn, of: tuple[Service, Service], *, is_global: bool = False) -> list[Task]:
    """Tasks in any state, of one slot's whole life or of several at once."""
    return [
        draw(_task(of, number, is_global=is_global))
        for number in range(1, draw(st.integers(0, 9)) + 1)
    ]


@st.composite
def _task(draw: st.DrawFn, of: tuple[Service, Service], number: int, *, is_global: bool) -> Task:
    state = draw(st.sampled_from([s for s in S if s != S.REMOVE]))
    desired = draw(st.sampled_from((S.READY, S.RUNNING, S.RUNNING, S.SHUTDOWN, S.REMOVE)))
    made_from = draw(st.sampled_from(of))
    is_new = made_from.spec_version > of[1].spec_version
    is_old = made_from.spec_version < of[0].spec_version
    ages = ((), (20.0, 100.0))[not is_new] + ((0.0, 1.0, 3.0), ())[is_old]
    at = NOW - draw(st.sampled_from(ages))
    since = at + draw(st.sampled_from((0.0, 0.5, NOW - at)))
    ran = state == S.RUNNING or (state in (S.COMPLETE, S.FAILED) and draw(st.booleans()))
    return task(
        0 if is_global else draw(st.integers(1, 5)),
        state,
        of=made_from,
        desired=desired,
        node_id=draw(st.sampled_from(NODES)),
        name=f"t{number}",
        at=at,
        since=min(since, NOW),
        running_at=min(since, NOW) if ran else 0.0,
        version=1,
    )


@st.composite
def clusters(draw: st.DrawFn, *, is_global: bool = False) -> tuple[Service, list[Task], list[Node]]:
    """A service with its tasks, and the nodes."""
    of = draw(services(is_global=is_global))
    return of[0], draw(tasks(of, is_global=is_global)), draw(nodes)
