"""The handler of ``…/stats``: what a container uses, once or second by second."""

import json
import os
from pathlib import Path
from typing import Final

from aiohttp import web

from common.clock import Clock
from common.engine_api.http import flag, json_response
from common.engine_api.streaming import while_connected
from common.errors import ConflictError, NotFoundError
from worker.api.render.stats import (
    Interface,
    Sample,
    parse_interfaces,
    render_nothing,
    render_stats,
    system_cpu_ns,
)
from worker.containers.engine import LocalEngine
from worker.containers.record import Container

INTERVAL_SECONDS: Final = 1.0
"""Between two samples."""
_STAT: Final = Path("/proc/stat")


class Stats:
    """What containers of this node use."""

    def __init__(self, engine: LocalEngine, clock: Clock, *, memory_bytes: int) -> None:
        """``memory_bytes`` is the machine's: the limit of a container that has none."""
        self._engine, self._clock, self._memory_bytes = engine, clock, memory_bytes

    async def stats(self, request: web.Request) -> web.StreamResponse:
        """``GET /containers/{id}/stats``."""
        container_id = self._engine.find(request.match_info["id"]).id
        if not flag(request, "stream", default=True):
            return json_response(await self._once(container_id, one_shot=flag(request, "one-shot")))
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)

        async def copy() -> None:
            before: Sample | None = None
            while (container := self._engine.get(container_id)) is not None:
                sample = await self._sample(container)
                shown = self._render(container, sample, before)
                await response.write((json.dumps(shown, separators=(",", ":")) + "\n").encode())
                before = sample
                await self._clock.sleep(INTERVAL_SECONDS)

        await while_connected(request, copy())
        await response.write_eof()
        return response

    async def _once(self, container_id: str, *, one_shot: bool) -> dict[str, object]:
        """Two samples a second apart, so that the share of the processors can be told; ``one_shot`` takes one."""
        container = self._known(container_id)
        sample, before = await self._sample(container), None
        if sample is not None and not one_shot:
            await self._clock.sleep(INTERVAL_SECONDS)
            container, before = self._known(container_id), sample
            sample = await self._sample(container)
        return self._render(container, sample, before)

    def _known(self, container_id: str) -> Container:
        container = self._engine.get(container_id)
        if container is None:
            raise NotFoundError(f"No such container: {container_id}")
        return container

    def _render(
        self, container: Container, sample: Sample | None, before: Sample | None
    ) -> dict[str, object]:
        if sample is None:
            return render_nothing(container)
        return render_stats(container, sample, before, memory_bytes=self._memory_bytes)

    async def _sample(self, container: Container) -> Sample | None:
        """What it uses now; None when it does not run."""
        try:
            usage = await self._engine.usage(container.id)
        except (NotFoundError, ConflictError):
            return None
        return Sample(
            at=self._clock.now(),
            usage=usage,
            system_cpu_ns=system_cpu_ns(_STAT.read_text()),
            online_cpus=os.cpu_count() or 1,
            interfaces=_interfaces(container),
        )


def _interfaces(container: Container) -> tuple[Interface, ...]:
    """Of a network of its own; one on the host's network has none to tell of, as in Docker."""
    if container.config.network == "host" or not container.pid:
        return ()
    try:
        return parse_interfaces(Path(f"/proc/{container.pid}/net/dev").read_text())
    except OSError:  # it has just ended
        return ()
