"""Stands for what a runtime cannot do yet beyond a task's life: each is refused by name."""

from collections.abc import Sequence
from typing import Never

from common.errors import NotImplementedHereError
from worker.containers.ports import Spawned, Streams
from worker.runtime.bundle import CgroupLimits, FurtherProcess, Usage


class NothingFurther:
    """An ``AttachingRuntime`` that refuses."""

    async def attach(
        self,
        container_id: str,
        *,
        before_start: bool = False,  # noqa: ARG002 - as the port says
        with_input: bool = True,  # noqa: ARG002
        with_output: bool = True,  # noqa: ARG002
    ) -> Streams:
        """Refused."""
        return _refuse("attach", container_id)

    async def spawn(self, container_id: str, process: FurtherProcess) -> Spawned:
        """Refused."""
        return _refuse(f"exec {process.argv[:1]}", container_id)

    async def resize(self, container_id: str, rows: int, columns: int) -> None:
        """Refused."""
        _refuse(f"resize to {rows}x{columns}", container_id)

    async def pause(self, container_id: str) -> None:
        """Refused."""
        _refuse("pause", container_id)

    async def resume(self, container_id: str) -> None:
        """Refused."""
        _refuse("unpause", container_id)

    async def limit(self, container_id: str, limits: CgroupLimits) -> None:
        """Refused."""
        _refuse(f"update to {limits}", container_id)

    async def usage(self, container_id: str) -> Usage:
        """Refused."""
        return _refuse("stats", container_id)

    async def processes(self, container_id: str) -> Sequence[int]:
        """Refused."""
        return _refuse("top", container_id)


def _refuse(what: str, container_id: str) -> Never:
    raise NotImplementedHereError(f"{what} of container {container_id} is not available yet")
