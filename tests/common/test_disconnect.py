"""Leases of tasks: which there can be, and when a task surely runs no more."""

import pytest

from common.disconnect import (
    CLOCK_DRIFT,
    SLACK_SECONDS,
    STOP_AFTER_LABEL,
    check_stop_after,
    silence_seconds_until_stopped,
)
from common.errors import InvalidInputError
from common.model.container_spec import ContainerSpec
from common.model.task import Task, TaskSpec

REFUSED = {
    "no duration": ("soon", 1.0, "invalid duration 'soon'"),
    "nothing": ("", 1.0, "invalid duration"),
    "too short": ("999ms", 1.0, "must be from 1s to 12h"),
    "too long": ("12h1s", 1.0, "must be from 1s to 12h"),
    "with too long a stop": ("1m", 3601.0, "must stop within 1h"),
}


@pytest.mark.parametrize(("after", "grace", "error"), REFUSED.values(), ids=REFUSED)
def test_refuses_a_lease_that_cannot_be(after: str, grace: float, error: str) -> None:
    container = ContainerSpec(image="x", stop_grace_period_seconds=grace)
    with pytest.raises(InvalidInputError, match=error):
        check_stop_after({STOP_AFTER_LABEL: after}, container)


@pytest.mark.parametrize("labels", [{}, {STOP_AFTER_LABEL: "1s"}, {STOP_AFTER_LABEL: "12h"}])
def test_takes_any_other(labels: dict[str, str]) -> None:
    check_stop_after(labels, None)


def test_a_task_surely_runs_no_more_after_lease_grace_and_slack() -> None:
    spec = TaskSpec(container_spec=ContainerSpec(image="x", stop_grace_period_seconds=2.0))
    task = Task(id="t", spec=spec, service_labels={STOP_AFTER_LABEL: "30s"})
    expected = 32.0 * (1 + CLOCK_DRIFT) + SLACK_SECONDS
    assert silence_seconds_until_stopped(task) == expected
    assert silence_seconds_until_stopped(Task(id="t", spec=spec)) is None
