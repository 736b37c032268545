"""Runs a container's healthcheck for as long as the container runs."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from common.clock import Clock
from common.errors import SwarmdError
from common.health_probes import KINDS, ProbeTarget, target_of
from common.model.container_spec import HealthConfig
from worker.containers.health import (
    OUTPUT_BYTES_MAX,
    after_probe,
    argv_of,
    probe_of,
    seconds_to_next_probe,
)
from worker.containers.ports import Runtime
from worker.containers.record import Container, HealthStatus, Probe
from worker.runtime.bundle import ExecResult

NetworkProbe = Callable[[int, ProbeTarget, float], Awaitable[ExecResult]]
PROBE_FAILED = 125
"""Exit code of a probe that could not be run at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """How a container can be probed."""

    runtime: Runtime
    network: NetworkProbe
    """Asks over the network of a process (``worker.containers.network_probe``)."""


class HealthMonitor:
    """One per running container with a healthcheck; ended by cancellation."""

    def __init__(
        self,
        config: HealthConfig,
        means: "Means",
        clock: Clock,
        *,
        current: Callable[[], Container],
        report: Callable[[HealthStatus], None],
    ) -> None:
        self._config, self._means, self._clock = config, means, clock
        self._current, self._report = current, report

    async def run(self) -> None:
        """Probes for ever."""
        while True:
            container = self._current()
            await self._clock.sleep(
                seconds_to_next_probe(
                    container.health,
                    self._config,
                    container_started_at=container.started_at,
                    now=self._clock.now(),
                )
            )
            probe = await self._probe()
            container = self._current()
            self._report(
                after_probe(
                    container.health,
                    probe,
                    self._config,
                    container_started_at=container.started_at,
                )
            )

    async def _probe(self) -> Probe:
        started_at = self._clock.now()
        timeout = self._config.timeout_seconds
        try:
            result = await self._run(timeout)
            code, output = result.code, result.output
        except SwarmdError as error:  # no such program, or the container is just ending
            code, output = PROBE_FAILED, str(error).encode()
        return probe_of(
            started_at=started_at,
            ended_at=self._clock.now(),
            code=code,
            output=output,
            timeout=timeout,
        )

    async def _run(self, timeout_seconds: float) -> ExecResult:
        if self._config.test[0] in KINDS:
            target = target_of(self._config.test)
            return await self._means.network(self._current().pid, target, timeout_seconds)
        return await self._means.runtime.exec(
            self._current().id,
            argv_of(self._config),
            timeout_seconds=timeout_seconds,
            output_max_bytes=OUTPUT_BYTES_MAX,
        )
