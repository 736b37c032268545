"""A service as ``GET /services`` shows it."""

from dataclasses import dataclass
from typing import Any

from common.engine_json import render, rfc3339
from common.model.service import Service, UpdateStatus
from manager.api.render.head import head
from manager.api.render.spec import service_spec

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """How many of a service's tasks run, of how many that should."""

    running: int
    desired: int
    completed: int = 0


def render_service(service: Service, status: ServiceStatus | None = None) -> Json:
    """Engine API ``Service``."""
    result = {**head(service), "Spec": service_spec(service.spec)}
    if service.previous_spec is not None:
        result["PreviousSpec"] = service_spec(service.previous_spec)
    result["Endpoint"] = render(service.endpoint)
    if service.update_status is not None:
        result["UpdateStatus"] = _update_status(service.update_status)
    if service.job_status is not None:
        result["JobStatus"] = {
            "JobIteration": {"Index": service.job_status.job_iteration},
            "LastExecution": rfc3339(service.job_status.last_execution),
        }
    if status is not None:
        result["ServiceStatus"] = {
            "RunningTasks": status.running,
            "DesiredTasks": status.desired,
            "CompletedTasks": status.completed,
        }
    return result


def _update_status(status: UpdateStatus) -> Json:
    result: Json = render(status)
    for key, moment in (("StartedAt", status.started_at), ("CompletedAt", status.completed_at)):
        if moment == 0.0:
            del result[key]
    return result
