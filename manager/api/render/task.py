"""A task as ``GET /tasks`` shows it."""

from typing import Any

from common.engine_json import render
from common.model.task import Task, TaskSpec
from manager.api.render.head import head
from manager.api.render.spec import task_template

Json = dict[str, Any]


class TaskRenderer:
    """Renders the tasks of one answer; the spec that tasks share is rendered once."""

    def __init__(self) -> None:
        self._specs: dict[int, tuple[TaskSpec, Json]] = {}

    def render(self, task: Task) -> Json:
        """Engine API ``Task``."""
        result = {
            **head(task),
            "Labels": dict(task.service_labels),
            "Spec": self._spec(task.spec),
            "ServiceID": task.service_id,
        }
        if task.slot:
            result["Slot"] = task.slot
        if task.node_id:
            result["NodeID"] = task.node_id
        result["Status"] = _status(task)
        result["DesiredState"] = task.desired_state.name.lower()
        result["NetworksAttachments"] = []
        if task.generic_resources:
            result["GenericResources"] = render(task.generic_resources)
        if task.job_iteration is not None:
            result["JobIteration"] = {"Index": task.job_iteration}
        return result

    def _spec(self, spec: TaskSpec) -> Json:
        known = self._specs.get(id(spec))
        if known is None:
            known = self._specs[id(spec)] = (spec, task_template(spec))
        return known[1]


def _status(task: Task) -> Json:
    result: Json = render(task.status)
    result.pop("AppliedAt")  # a manager's own clock, not for people
    result.setdefault("PortStatus", {})
    return result
