"""Keeps the node's published ports equal to what its tasks make of them."""

import asyncio
import logging
from collections.abc import Collection, Sequence
from typing import Final, Never

from common.clock import Clock
from common.errors import ConflictError, SwarmdError
from common.model.endpoint import PortConfig
from worker.agent.ports import PublishedPorts
from worker.agent.published import LiveTask, published_ports
from worker.balancer.table import Backend, PortFault, PublishedPort

RETRY_SECONDS: Final = 5.0
"""How long after a fault the table is synced again."""
_log = logging.getLogger(__name__)


class PortTable:
    """Collects how the tasks fare, and syncs the ports once for all that changed meanwhile."""

    def __init__(self, ports: PublishedPorts, clock: Clock) -> None:
        self._ports, self._clock = ports, clock
        self._tasks: dict[str, LiveTask] = {}
        self._synced: tuple[PublishedPort, ...] | None = None
        self._faults: tuple[PortFault, ...] = ()
        self._wanted_round, self._done_round = 1, 0
        self._dirty, self._faulty, self._round_done = (asyncio.Event() for _ in range(3))
        self._dirty.set()

    def show(self, task_id: str, live: LiveTask | None) -> None:
        """Tells how a task fares; None when it holds no port any more."""
        if self._tasks.get(task_id) == live:
            return
        if live is None:
            del self._tasks[task_id]
        else:
            self._tasks[task_id] = live
        self._wanted_round += 1
        self._dirty.set()

    async def settle(self) -> None:
        """Returns once what was shown until now was synced, or was tried and failed (which is logged)."""
        target = self._wanted_round
        while self._done_round < target:
            await self._round_done.wait()

    async def reserve(self, ports: Sequence[PortConfig]) -> None:
        """Takes ports of the host ahead of their first backend.

        Raises:
            ConflictError: a port is taken by something that is not ours.
        """
        faults = await self._ports.reserve(ports)
        if faults:
            raise ConflictError("; ".join(fault.reason for fault in faults))

    async def drain(self, backends: Collection[Backend], *, limit_seconds: float) -> None:
        """Waits for the connections to backends that were taken out, up to a limit."""
        await self.settle()
        try:
            is_drained = await self._ports.drained(backends, limit_seconds=limit_seconds)
        except (SwarmdError, OSError):
            _log.exception("nobody knows whether connections to a task are still under way")
            return
        if not is_drained:
            _log.info("a task is stopped with connections still under way")

    def is_held(self, port: PortConfig) -> bool:
        """Whether a task of this node holds that port."""
        return any(
            held.protocol is port.protocol and held.published_port == port.published_port
            for live in self._tasks.values()
            for held in live.ports
        )

    async def run(self) -> Never:
        """Syncs whenever something changed, at once; after a fault also a little later."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._retry())
            while True:
                await self._dirty.wait()
                self._dirty.clear()
                this_round = self._wanted_round
                await self._sync(published_ports(self._tasks.values()))
                self._done_round = this_round
                self._round_done.set()
                self._round_done = asyncio.Event()
        raise AssertionError("unreachable")

    async def _sync(self, wanted: tuple[PublishedPort, ...]) -> None:
        if wanted == self._synced:
            return
        self._synced = None
        try:
            faults = tuple(await self._ports.sync(wanted))
        except (SwarmdError, OSError):
            _log.exception("the published ports could not be brought up to date")
            self._faulty.set()
            return
        if faults:
            self._faulty.set()
        else:
            self._synced = wanted
        if faults and faults != self._faults:
            _log.warning("not published: %s", "; ".join(fault.reason for fault in faults))
        self._faults = faults

    async def _retry(self) -> Never:
        while True:
            await self._faulty.wait()
            self._faulty.clear()
            await self._clock.sleep(RETRY_SECONDS)
            self._dirty.set()
