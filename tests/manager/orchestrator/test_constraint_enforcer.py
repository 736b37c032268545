import pytest

from common.model.node import Availability, Node
from common.model.resources import ResourceRequirements, Resources
from common.model.service import Service
from common.model.task import Task, TaskState
from manager.orchestrator.constraint_enforcer import NodeView, decide
from manager.store.changes import ObserveTask
from tests.support.builders import NOW, node, service, task, template

S = TaskState
SSD = service(spec=template(constraints=["node.labels.disk==ssd"]))
MIB = 1 << 20
FAST = node(labels={"disk": "ssd"}, resources=Resources(memory_bytes=100 * MIB, nano_cpus=10**9))
SLOW = node(labels={"disk": "hdd"}, resources=FAST.description.resources)


def reserving(mebibytes: int = 0, nano_cpus: int = 0) -> Service:
    reserved = Resources(memory_bytes=mebibytes * MIB, nano_cpus=nano_cpus)
    return service(spec=template(resources=ResourceRequirements(reservations=reserved)))


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
