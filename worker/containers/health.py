"""Whether a container is healthy: what a probe's outcome means, and when to probe next. Pure."""

from dataclasses import replace

from common.model.container_spec import HealthConfig
from worker.containers.record import Health, HealthStatus, Probe

PROBES_KEPT = 5
OUTPUT_BYTES_MAX = 4096
TIMED_OUT = -1
"""Exit code of a probe that was killed because its time was up."""
FIRST_PROBE_SECONDS = 0.25
"""A starting container is asked this soon, and again after twice as long each time, until its first regular probe."""
SHELL = ("/bin/sh", "-c")


def argv_of(config: HealthConfig) -> tuple[str, ...]:
    """The probe's command."""
    kind, *rest = config.test
    return (*SHELL, *rest) if kind == "CMD-SHELL" else tuple(rest)


def probe_of(
    *, started_at: float, ended_at: float, code: int, output: bytes, timeout: float
) -> Probe:
    """One probe as it is kept."""
    text = output[:OUTPUT_BYTES_MAX].decode("utf-8", "replace")
    if code == TIMED_OUT:
        text = f"Health check exceeded timeout ({timeout:g}s): {text}".removesuffix(": ")
    return Probe(started_at=started_at, ended_at=ended_at, exit_code=code, output=text)


def after_probe(
    status: HealthStatus, probe: Probe, config: HealthConfig, *, container_started_at: float
) -> HealthStatus:
    """The status after one more probe.

    A failure does not count while the container is still starting and its start period lasts, nor before its first
    regular probe is due.
    """
    log = (*status.log, probe)[-PROBES_KEPT:]
    if probe.exit_code == 0:
        return HealthStatus(state=Health.HEALTHY, failing_streak=0, log=log)
    age = probe.started_at - container_started_at
    grace = max(config.start_period_seconds, _first_regular_seconds(config))
    if status.state is Health.STARTING and age < grace:
        return replace(status, log=log)
    streak = status.failing_streak + 1
    state = Health.UNHEALTHY if streak >= config.retries else status.state
    return HealthStatus(state=state, failing_streak=streak, log=log)


def seconds_to_next_probe(
    status: HealthStatus, config: HealthConfig, *, container_started_at: float, now: float
) -> float:
    """How long to wait after a probe, or after the start."""
    age = max(0.0, now - container_started_at)
    if status.state is not Health.STARTING:
        return config.interval_seconds
    regular = _first_regular_seconds(config)
    if age < regular:
        early = FIRST_PROBE_SECONDS
        while early <= age:
            early *= 2
        return min(early, regular) - age
    in_start_period = age < config.start_period_seconds
    return config.start_interval_seconds if in_start_period else config.interval_seconds


def _first_regular_seconds(config: HealthConfig) -> float:
    """When Docker's first probe is, counted from the start."""
    if config.start_period_seconds > 0:
        return min(config.start_interval_seconds, config.interval_seconds)
    return config.interval_seconds
