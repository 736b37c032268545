"""What probes say of a container, as Docker counts them; and a soon first answer, which Docker lacks."""

from dataclasses import replace

import pytest

from common.errors import InvalidInputError
from common.model.container_spec import ContainerSpec, HealthConfig
from worker.containers.health import (
    PROBES_KEPT,
    after_probe,
    argv_of,
    probe_of,
    seconds_to_next_probe,
)
from worker.containers.record import ContainerConfig, Health, HealthStatus, Probe
from worker.containers.settle import container_of
from worker.images.resolved import ResolvedImage

CHECK = HealthConfig(
    test=("CMD", "true"),
    interval_seconds=10,
    timeout_seconds=5,
    retries=2,
    start_period_seconds=0,
    start_interval_seconds=2,
)
SLOW_STARTER = HealthConfig(
    test=("CMD", "true"),
    interval_seconds=10,
    timeout_seconds=5,
    retries=1,
    start_period_seconds=60,
    start_interval_seconds=2,
)
STARTED = 1000.0


def status(state: Health, streak: int = 0) -> HealthStatus:
    return HealthStatus(state=state, failing_streak=streak)


def probe(code: int, age: float) -> Probe:
    return Probe(started_at=STARTED + age, ended_at=STARTED + age, exit_code=code)


AFTER = {
    "a success makes it healthy": (
        CHECK,
        status(Health.STARTING),
        probe(0, 1),
        status(Health.HEALTHY),
    ),
    "a success ends the streak": (
        CHECK,
        status(Health.UNHEALTHY, 5),
        probe(0, 90),
        status(Health.HEALTHY),
    ),
    "a failure before the first regular probe does not count": (
        CHECK,
        status(Health.STARTING),
        probe(1, 2),
        status(Health.STARTING),
    ),
    "a failure counts": (CHECK, status(Health.STARTING), probe(1, 10), status(Health.STARTING, 1)),
    "failures in a row make it unhealthy": (
        CHECK,
        status(Health.STARTING, 1),
        probe(1, 20),
        status(Health.UNHEALTHY, 2),
    ),
    "any exit code but 0 is a failure": (
        CHECK,
        status(Health.HEALTHY, 1),
        probe(42, 20),
        status(Health.UNHEALTHY, 2),
    ),
    "a failure in the start period does not count": (
        SLOW_STARTER,
        status(Health.STARTING),
        probe(1, 59),
        status(Health.STARTING),
    ),
    "a failure after the start period counts": (
        SLOW_STARTER,
        status(Health.STARTING),
        probe(1, 60),
        status(Health.UNHEALTHY, 1),
    ),
    "once healthy, a failure in the start period counts": (
        SLOW_STARTER,
        status(Health.HEALTHY),
        probe(1, 30),
        status(Health.UNHEALTHY, 1),
    ),
}


@pytest.mark.parametrize("name", AFTER)
def test_status(name: str) -> None:
    config, before, outcome, expected = AFTER[name]

    found = after_probe(before, outcome, config, container_started_at=STARTED)

    assert (found.state, found.failing_streak) == (expected.state, expected.failing_streak)
    assert found.log == (outcome,)


NEXT = {
    "asks soon after the start": (CHECK, Health.STARTING, 0, 0.25),
    "and again after twice as long": (CHECK, Health.STARTING, 1, 1),
    "but no later than the first regular probe": (CHECK, Health.STARTING, 9, 1),
    "then at the interval": (CHECK, Health.STARTING, 10, 10),
    "at the interval when it is healthy": (CHECK, Health.HEALTHY, 1, 10),
    "at the interval when it is unhealthy": (CHECK, Health.UNHEALTHY, 100, 10),
    "at the start interval in the start period": (SLOW_STARTER, Health.STARTING, 2, 2),
    "at the interval after the start period": (SLOW_STARTER, Health.STARTING, 60, 10),
    "at once, not in the past, when the clock went back": (CHECK, Health.STARTING, -50, 0.25),
}


@pytest.mark.parametrize("name", NEXT)
def test_next_probe(name: str) -> None:
    config, state, age, expected = NEXT[name]

    found = seconds_to_next_probe(
        status(state), config, container_started_at=STARTED, now=STARTED + age
    )

    assert found == expected


def test_only_the_last_probes_are_kept() -> None:
    found = status(Health.HEALTHY)
    for age in range(20):
        found = after_probe(found, probe(0, age), CHECK, container_started_at=STARTED)

    assert [item.started_at for item in found.log] == [STARTED + age for age in range(15, 20)]
    assert len(found.log) == PROBES_KEPT


def test_a_probe_is_a_command_or_a_line_for_the_shell() -> None:
    assert argv_of(HealthConfig(test=("CMD", "wget", "-q", "x"))) == ("wget", "-q", "x")
    assert argv_of(HealthConfig(test=("CMD-SHELL", "a || b"))) == ("/bin/sh", "-c", "a || b")


def test_output_is_cut_and_a_timeout_says_so() -> None:
    long = probe_of(started_at=0, ended_at=1, code=1, output=b"x" * 9000, timeout=5)
    late = probe_of(started_at=0, ended_at=5, code=-1, output=b"", timeout=5)

    assert len(long.output) == 4096
    assert late.output == "Health check exceeded timeout (5s)"


LABEL, CMD = {"swarmd.health.http": "80/x"}, HealthConfig(test=("CMD", "probe"), retries=7)
BY_LABEL: dict[str, tuple[ContainerSpec, ResolvedImage, tuple[str, ...] | None]] = {
    "of the container": (ContainerSpec(labels=LABEL), ResolvedImage(id="i", layers=()), ("HTTP", "80/x")),
    "of the image": (
        ContainerSpec(),
        ResolvedImage(id="i", layers=(), labels=LABEL, healthcheck=CMD),
        ("HTTP", "80/x"),
    ),
    "a command of the container goes before the image's label": (
        ContainerSpec(healthcheck=CMD),
        ResolvedImage(id="i", layers=(), labels=LABEL),
        ("CMD", "probe"),
    ),
    "none is none": (
        ContainerSpec(healthcheck=HealthConfig(test=("NONE",))),
        ResolvedImage(id="i", layers=(), labels=LABEL),
        None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BY_LABEL)
def test_a_healthcheck_by_label(name: str) -> None:
    spec, image, expected = BY_LABEL[name]
    config = ContainerConfig(name="web", spec=replace(spec, command=("serve",)))

    check = container_of(config, image, container_id="c" * 64, now=1.0).healthcheck

    assert (check.test if check else None) == expected


def test_a_label_beside_a_command_is_refused() -> None:
    spec = ContainerSpec(command=("serve",), labels=LABEL, healthcheck=CMD)
    config = ContainerConfig(name="web", spec=spec)

    with pytest.raises(InvalidInputError, match="exclude each other"):
        container_of(config, ResolvedImage(id="i", layers=()), container_id="c" * 64, now=1.0)
