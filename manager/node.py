"""A manager: starts and stops everything that a manager runs, and leads while its log says so."""

import asyncio
import logging
import random  # noqa: TID251 - only named as a type
from collections.abc import Mapping
from pathlib import Path
from typing import Never

from common.clock import Clock
from common.model.node import ManagerStatus, Reachability
from manager.control.registry import run_loops
from manager.dispatcher.server import Dispatcher
from manager.logs.broker import LogBroker
from manager.raft.links import NoLinks
from manager.raft.peers import Peer
from manager.raft.replicated_log import ReplicatedLog
from manager.raft.storage import Storage
from manager.raft.surroundings import Surroundings
from manager.store.replica import Replica
from manager.store.store import Store

log = logging.getLogger("swarmd.manager")


class Manager:
    """One manager of a cluster. ``run`` it; when it is cancelled, everything has stopped in order."""

    def __init__(self, directory: Path, node_id: str, clock: Clock, chance: random.Random) -> None:
        """A manager that keeps its log in ``directory``."""
        self._node_id, self._clock, self._chance = node_id, clock, chance
        self._leadership = asyncio.Event()
        self._demotion = asyncio.Event()
        replica = Replica()
        self._log = ReplicatedLog(
            Storage.at(directory),
            Surroundings(
                me=Peer(member_id=node_id, node_id=node_id, address=""),
                machine=replica,
                links=NoLinks(),
                clock=clock,
                chance=chance,
                on_leadership=self._leads,
            ),
        )
        self.store = Store(replica, self._log, clock, chance)
        self.dispatcher = Dispatcher(self.store, clock, chance)
        self.logs = LogBroker(self.store, self.dispatcher, clock, chance)

    async def start(self) -> None:
        """Opens the log and applies what is in it; returns once this manager leads.

        Raises:
            SystemFailureError: the log is damaged or the directory cannot be used.
        """
        await self._log.start(bootstrap=True)
        await self._log.until_leader()

    def managers(self) -> Mapping[str, ManagerStatus]:
        """How each member of the raft stands, by node id: this is the only one."""
        node = self.store.state.nodes.get(self._node_id)
        told = node.manager_status if node is not None else None
        own = ManagerStatus(
            leader=self._log.is_leader,
            reachability=Reachability.REACHABLE,
            addr=told.addr if told is not None else "",
        )
        return {self._node_id: own}

    async def close(self) -> None:
        """Closes the log of a manager that was started and is not run."""
        await self._log.stop()

    async def run(self) -> Never:
        """Runs the leader's loops for as long as this manager leads."""
        try:
            while True:
                await self._leadership.wait()
                log.info("this manager leads")
                await self._lead()
                log.warning("this manager no longer leads")
        finally:
            await self._log.stop()

    async def _lead(self) -> None:
        async with asyncio.TaskGroup() as group:
            work = [
                group.create_task(run_loops(self.store, self._clock, self._chance)),
                group.create_task(self.dispatcher.run()),
            ]
            await self._demotion.wait()
            for task in work:
                task.cancel()

    def _leads(self, leads: bool) -> None:  # noqa: FBT001 - the log's callback
        (self._leadership if leads else self._demotion).set()
        (self._demotion if leads else self._leadership).clear()
