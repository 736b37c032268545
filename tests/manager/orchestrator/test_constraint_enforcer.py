from dataclasses import replace

import pytest

from common.disconnect import STOP_AFTER_LABEL
from common.generic_resources import generic_resources
from common.model.node import Availability, Node
from common.model.resources import ResourceRequirements, Resources
from common.model.service import Service
from common.model.task import Task, TaskState
from manager.orchestrator.constraint_enforcer import NodeView, decide
from manager.store.changes import ObserveTask, SetDesiredState
from tests.support.builders import NOW, node, service, task, template

S = TaskState
SSD = service(spec=template(constraints=["node.labels.disk==ssd"]))
MIB = 1 << 20
FAST = node(labels={"disk": "ssd"}, resources=Resources(memory_bytes=100 * MIB, nano_cpus=10**9))
SLOW = node(labels={"disk": "hdd"}, resources=FAST.description.resources)


def reserving(mebibytes: int = 0, nano_cpus: int = 0) -> Service:
    reserved = Resources(memory_bytes=mebibytes * MIB, nano_cpus=nano_cpus)
    return service(spec=template(resources=ResourceRequirements(reservations=reserved)))


GPUS = node(resources=Resources(generic_resources=generic_resources(["GPU=a", "GPU=b", "SSD=3"])))


def given(slot: int, *units: str, at: float = NOW) -> Task:
    return replace(task(slot, at=at), generic_resources=generic_resources(units))


CASES: dict[str, tuple[Node, Service, list[Task], set[str]]] = {
    "satisfied": (FAST, SSD, [task(1, of=SSD)], set()),
    "no longer satisfied": (SLOW, SSD, [task(1, of=SSD)], {"web.1"}),
    "already on its way out": (SLOW, SSD, [task(1, of=SSD, desired=S.SHUTDOWN)], set()),
    "already ended": (SLOW, SSD, [task(1, S.FAILED, of=SSD)], set()),
    "a paused node keeps what it has": (
        node(availability=Availability.PAUSE),
        SSD,
        [task(1, of=SSD)],
        set(),
    ),
    "the service's present constraints count, not those of the task": (
        SLOW,
        SSD,
        [task(1)],
        {"web.1"},
    ),
    "the newest do not fit any more": (
        FAST,
        reserving(40),
        [task(n, of=reserving(40), at=NOW - n) for n in (1, 2, 3)],
        {"web.1"},
    ),
    "what a task was given is there": (
        GPUS,
        service(),
        [given(1, "GPU=a", "SSD=1"), given(2, "GPU=b", "SSD=2")],
        set(),
    ),
    "a unit that is gone": (GPUS, service(), [given(1, "GPU=a"), given(2, "GPU=c")], {"web.2"}),
    "more units than there are now": (
        GPUS,
        service(),
        [given(1, "SSD=2", at=NOW - 1), given(2, "SSD=2")],
        {"web.2"},
    ),
    "no more than the processors there are": (
        FAST,
        reserving(nano_cpus=2 * 10**9),
        [task(1, of=reserving(nano_cpus=2 * 10**9))],
        {"web.1"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_rejected_tasks(case: str) -> None:
    own, of, tasks, expected = CASES[case]
    changes = decide(NodeView(node=own, tasks=tasks, services={of.id: of}), NOW).changes
    rejected = [change for change in changes if isinstance(change, ObserveTask)]
    assert expected == {change.task_id for change in rejected}
    assert {S.REJECTED} >= {change.status.state for change in rejected}


def test_one_with_a_lease_is_told_to_stop_since_the_next_waits_for_its_end() -> None:
    leased = replace(task(1, of=SSD), service_labels={STOP_AFTER_LABEL: "1m"})
    changes = decide(NodeView(node=SLOW, tasks=[leased], services={SSD.id: SSD}), NOW).changes
    assert changes == (SetDesiredState(task_id="web.1", state=S.SHUTDOWN),)
