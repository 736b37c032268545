"""Specs as Docker writes them: amounts of zero left out, the runtime named."""

from typing import Any

from common.engine_json import render
from common.model.service import ServiceSpec
from common.model.task import TaskSpec
from manager.api.parse.service_spec import CONTAINER_RUNTIME

Json = dict[str, Any]


def service_spec(spec: ServiceSpec) -> Json:
    """Engine API ``ServiceSpec``."""
    result: Json = render(spec)
    return {**result, "TaskTemplate": task_template(spec.task_template)}


def task_template(spec: TaskSpec) -> Json:
    """Engine API ``TaskSpec``."""
    result: Json = {**render(spec), "Runtime": CONTAINER_RUNTIME}
    if "Resources" in result:
        resources = result["Resources"]
        for part in ("Limits", "Reservations"):
            resources[part] = without_zeros(resources[part])
    if "Placement" in result:
        result["Placement"] = without_zeros(result["Placement"])
    return result


def without_zeros(amounts: Json) -> Json:
    """A copy without the numbers that are 0."""
    return {key: value for key, value in amounts.items() if value != 0}
