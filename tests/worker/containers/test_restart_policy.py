"""Whether and when a container starts again of itself."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidInputError
from common.model.container_spec import ContainerSpec
from worker.containers.record import (
    Container,
    ContainerConfig,
    ContainerState,
    HostOptions,
    RestartPolicy,
)
from worker.containers.restart_policy import (
    DELAY_SECONDS_MAX,
    FIRST_DELAY_SECONDS,
    POLICIES,
    STEADY_SECONDS,
    Again,
    check_policy,
    restart_of,
    starts_with_the_daemon,
    wait_seconds,
)
from worker.containers.running import with_restart

NOW = 5000.0


def ended(
    policy: str = "always", *, task_id: str = "", retries: int = 0, **fields: Any
) -> Container:
    restart = RestartPolicy(name=policy, maximum_retry_count=retries)
    host = HostOptions(restart=restart)
    config = ContainerConfig(name="web", spec=ContainerSpec(), host=host, task_id=task_id)
    made = Container(
        id="c", config=config, image_id="i", created_at=1.0, state=ContainerState.EXITED
    )
    return replace(made, **{"started_at": NOW - 1, "finished_at": NOW, **fields})


FIRST = Again(after_seconds=0.1)
CASES: dict[str, tuple[Container, Again | None]] = {
    "no policy: it stays": (ended(""), None),
    "no: it stays": (ended("no", exit_code=1), None),
    "always, whatever its code": (ended("always"), FIRST),
    "unless-stopped, whatever its code": (ended("unless-stopped"), FIRST),
    "always, but its user has stopped it": (ended("always", is_stopped_by_user=True), None),
    "unless-stopped, and so it was": (ended("unless-stopped", is_stopped_by_user=True), None),
    "on-failure after success": (ended("on-failure"), None),
    "on-failure after a failure": (ended("on-failure", exit_code=1), FIRST),
    "on-failure, stopped by its user": (
        ended("on-failure", exit_code=143, is_stopped_by_user=True),
        None,
    ),
    "on-failure with a try left": (
        ended("on-failure", exit_code=1, retries=3, restart_count=2),
        FIRST,
    ),
    "on-failure after the last try": (
        ended("on-failure", exit_code=1, retries=3, restart_count=3),
        None,
    ),
    "twice as long as the last time": (
        ended(restart_delay_seconds=0.4),
        Again(after_seconds=0.8),
    ),
    "never longer than a minute": (
        ended(restart_delay_seconds=51.2),
        Again(after_seconds=60),
    ),
    "from the beginning after ten seconds of running": (
        ended(restart_delay_seconds=51.2, started_at=NOW - 10),
        FIRST,
    ),
    "a task's container never": (ended("always", task_id="t1", exit_code=1), None),
}


@pytest.mark.parametrize("name", CASES)
def test_restarts(name: str) -> None:
    container, expected = CASES[name]

    assert restart_of(container) == expected


@given(
    policy=st.sampled_from(POLICIES),
    runs=st.lists(st.tuples(st.floats(0, 100), st.integers(0, 255)), max_size=30),
    retries=st.integers(0, 5),
)
def test_over_any_life_waits_are_bounded_and_counted(
    policy: str, runs: list[tuple[float, int]], retries: int
) -> None:
    retries = retries if policy == "on-failure" else 0
    container = ended(policy, retries=retries)
    before, now = 0.0, NOW
    for number, (seconds, code) in enumerate(runs, start=1):
        over = replace(
            container,
            state=ContainerState.EXITED,
            started_at=now,
            finished_at=now + seconds,
            exit_code=code,
        )
        now += seconds
        container = with_restart(over, now=now)
        if container.state is ContainerState.EXITED:
            return
        delay = container.restart_at - now
        assert container.restart_count == number
        assert FIRST_DELAY_SECONDS - 1e-6 <= delay <= DELAY_SECONDS_MAX
        assert delay <= max(2 * before, FIRST_DELAY_SECONDS) + 1e-6, "no wait more than doubles"
        if seconds >= STEADY_SECONDS:
            assert container.restart_delay_seconds == FIRST_DELAY_SECONDS
        if retries:
            assert container.restart_count <= retries
        before = container.restart_delay_seconds
        now = container.restart_at


def test_a_wait_goes_on_after_a_restart_and_outlives_a_clock_that_was_set() -> None:
    waiting = ended(restart_at=NOW + 20)

    assert wait_seconds(waiting, now=NOW) == 20
    assert wait_seconds(waiting, now=NOW + 30) == 0
    assert wait_seconds(waiting, now=0) == DELAY_SECONDS_MAX


WITH_THE_DAEMON = {
    "always, also when its user has stopped it": (ended(is_stopped_by_user=True), True),
    "unless-stopped not": (ended("unless-stopped", is_stopped_by_user=True), False),
    "always, but never started": (ended(started_at=0.0, finished_at=0.0), False),
    "a task's not": (ended(task_id="t1"), False),
}


@pytest.mark.parametrize("name", WITH_THE_DAEMON)
def test_starts_with_the_daemon(name: str) -> None:
    container, expected = WITH_THE_DAEMON[name]

    assert starts_with_the_daemon(container) is expected


REFUSED = {
    "no such policy": (RestartPolicy(name="sometimes"), False, "unknown policy 'sometimes'"),
    "a count below zero": (
        RestartPolicy(name="on-failure", maximum_retry_count=-1),
        False,
        "cannot be negative",
    ),
    "a count for always": (
        RestartPolicy(name="always", maximum_retry_count=2),
        False,
        "can only be used with 'on-failure'",
    ),
    "with removal": (RestartPolicy(name="always"), True, "can't create 'AutoRemove' container"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_policy_is_refused(name: str) -> None:
    policy, auto_remove, words = REFUSED[name]

    with pytest.raises(InvalidInputError, match=words):
        check_policy(policy, auto_remove=auto_remove)
