"""What services and their tasks get: published ports; and tasks go from NEW to PENDING."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from common.model.endpoint import Endpoint, EndpointSpec
from common.model.service import Service
from common.model.task import Task, TaskState
from manager.allocator.published_ports import OtherServices, PortsError, allocate_ports
from manager.store.changes import AllocateTask, Change, ExplainTask, Update
from manager.store.verdict import Verdict

_NO_ENDPOINT = EndpointSpec()


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationView:
    """A service with those of its tasks that are NEW."""

    service: Service
    tasks: Collection[Task]
    others: OtherServices


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """The verdict, and what stood in the way if something did."""

    verdict: Verdict
    error: str = ""


def decide(view: AllocationView) -> Allocation:
    """Gives the service its ports and the tasks theirs; what cannot be had is said on each waiting task."""
    waiting = [task for task in view.tasks if _waits(task)]
    try:
        service = _with_endpoint(view.service, view.others)
    except PortsError as error:
        changes = [_explain(task, str(error)) for task in waiting if task.status.err != str(error)]
        return Allocation(verdict=Verdict(changes=tuple(changes)), error=str(error))
    changed: tuple[Change, ...] = () if service is view.service else (Update(object=service),)
    given = (_allocate(task, service) for task in waiting)
    return Allocation(verdict=Verdict(changes=(*changed, *given)))


def _waits(task: Task) -> bool:
    return task.status.state == TaskState.NEW and task.desired_state <= TaskState.COMPLETE


def _with_endpoint(service: Service, others: OtherServices) -> Service:
    asked = service.spec.endpoint_spec or _NO_ENDPOINT
    if service.endpoint.spec == asked:
        return service
    ports = allocate_ports(service, others)
    endpoint = Endpoint(spec=asked, ports=ports, virtual_ips=service.endpoint.virtual_ips)
    return replace(service, endpoint=endpoint)


def _allocate(task: Task, service: Service) -> AllocateTask:
    return AllocateTask(task_id=task.id, basis=task.version, ports=service.endpoint.ports)


def _explain(task: Task, err: str) -> ExplainTask:
    return ExplainTask(task_id=task.id, basis=task.version, err=err)
