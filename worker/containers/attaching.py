"""What is asked of a container that runs, of its runtime: streams, its terminal, what it uses."""

import asyncio
from collections.abc import Sequence

from common.errors import ConflictError
from worker.containers.ending import not_running
from worker.containers.ports import AttachingRuntime, Streams
from worker.containers.process_table import ProcessTable, look
from worker.containers.record import ContainerState
from worker.containers.register import Live, Register
from worker.runtime.bundle import Usage


class Attaching:
    """Brings those who ask together with the runtime."""

    def __init__(self, register: Register, runtime: AttachingRuntime) -> None:
        self._register, self._runtime = register, runtime

    async def attach(self, live: Live, *, with_input: bool, with_output: bool) -> Streams:
        """What it writes from now on, and its input. One that does not run is about to be started.

        Raises:
            ConflictError: it is paused, or waits for its next start.
        """
        container = live.container
        if container.state is ContainerState.PAUSED:
            raise ConflictError(
                f"container {container.id} is paused, unpause the container before attach"
            )
        if container.state is ContainerState.RESTARTING:
            raise ConflictError(
                f"container {container.id} is restarting, wait until the container is running"
            )
        streams = await self._runtime.attach(
            container.id,
            before_start=not live.has_process,
            with_input=with_input,
            with_output=with_output,
        )
        self._register.tell(live.container, "attach")
        return streams

    async def resize(self, live: Live, rows: int, columns: int) -> None:
        """Says how large its terminal is.

        Raises:
            ConflictError: it does not run.
        """
        if not live.has_process:
            raise not_running(live.container)
        await self._runtime.resize(live.container.id, rows, columns)
        self._register.tell(live.container, "resize", height=str(rows), width=str(columns))

    async def top(self, live: Live, arguments: str) -> ProcessTable:
        """The table of its processes.

        Raises:
            ConflictError: it does not run.
            InvalidInputError: the arguments are not understood.
        """
        pids = await self.processes(live)
        return await asyncio.to_thread(look, pids, arguments, now=self._register.clock.now())

    async def usage(self, live: Live) -> Usage:
        """What it uses now."""
        return await self._runtime.usage(live.container.id)

    async def processes(self, live: Live) -> Sequence[int]:
        """Pids of its processes.

        Raises:
            ConflictError: it does not run.
        """
        if live.container.state is ContainerState.RESTARTING:
            raise ConflictError(
                f"Container {live.container.id} is restarting, wait until the container is running"
            )
        if not live.has_process:
            raise not_running(live.container)
        return await self._runtime.processes(live.container.id)
