"""A manager: starts and stops everything that a manager runs, and leads while its log says so."""

import asyncio
import logging
import random  # noqa: TID251 - only named as a type
from collections.abc import Callable, Iterable, Mapping
from typing import Never

from common.apart import apart
from common.backoff import delays
from common.clock import Clock
from common.errors import NoLeaderError, SwarmdError, UnavailableError
from common.ids import id_source
from common.model.node import ManagerStatus, Reachability
from common.protocol.channel import Channel
from common.protocol.upgrade import Door
from manager.ca.rotating import RootRotating
from manager.control.registry import run_loops
from manager.dispatcher.server import Dispatcher
from manager.logs.broker import LogBroker
from manager.logs.cluster import ClusterLogs
from manager.logs.remote import RemoteLogs
from manager.logs.wire import BOUNDS, LOGS, PROTOCOL, reader_end
from manager.members import keep_members
from manager.raft.links import Links
from manager.raft.peers import Peer, RaftStatus
from manager.raft.replicated_log import ReplicatedLog
from manager.raft.storage import Storage
from manager.raft.surroundings import Surroundings
from manager.reach.calls import Calls
from manager.reach.reaching import Reaching
from manager.relay import DialManager
from manager.store.replica import Replica
from manager.store.store import Store

LEAD_AGAIN_SECONDS = 0.05
LEAD_AGAIN_SECONDS_MAX = 2.0
"""Waits before a leader starts its loops again after the log was not available to them."""

HAND_OVER_SECONDS_MAX = 2.0
"""How long a manager that stops waits for another one to lead."""

log = logging.getLogger("swarmd.manager")


class Manager:
    """One manager of a cluster: start its ``log``, ``run`` it, stop its ``log``."""

    def __init__(
        self,
        storage: Storage,
        me: Peer,
        new_links: Callable[[Callable[[], RaftStatus]], Links],
        dial: DialManager,
        clock: Clock,
        chance: random.Random,
    ) -> None:
        """A manager that keeps its log in ``storage``.

        ``new_links`` is given how to ask for the log's status; ``dial`` opens other streams to managers.
        """
        self._clock, self._chance = clock, chance
        self.dial = dial
        self._leadership = asyncio.Event()
        self._demotion = asyncio.Event()
        self._members: tuple[Peer, ...] = ()
        self._addresses: tuple[str, ...] = ()
        self.on_removed: Callable[[], None] = lambda: None
        """Called once this manager has learnt that it was taken out of the log for ever."""
        replica = Replica()
        self.log = ReplicatedLog(
            storage,
            Surroundings(
                me=me,
                machine=replica,
                links=new_links(self.status),
                clock=clock,
                chance=chance,
                on_leadership=self._leads,
                on_removed=self._is_removed,
            ),
        )
        self.store = Store(replica, self.log, clock, chance)
        self.roots = RootRotating(self.store, clock, self.is_member, self._tell_nodes)
        self.dispatcher = Dispatcher(self.store, clock, chance, self.addresses, self.roots.told)
        self.log_broker = LogBroker(self.store, self.dispatcher, clock, chance)
        remote = RemoteLogs(lambda: self.leader().address, self._dial_logs, id_source(chance))
        self.logs = ClusterLogs(lambda: self.leads, self.log_broker, remote)
        self.calls = Calls(self.dispatcher, id_source(chance))
        self.reaching = Reaching(self._other_leader, self.calls, dial)

    def status(self) -> RaftStatus:
        """How the replicated log stands.

        Raises:
            NotLeaderError: it is not running.
        """
        return self.log.status()

    async def run(self) -> Never:
        """Runs the leader's loops for as long as this manager leads. Its log must have been started."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.logs.run())
            while True:
                await self._leadership.wait()
                log.info("this manager leads")
                await self._lead()
                log.warning("this manager no longer leads")
        raise AssertionError("it runs until it is cancelled")

    async def hand_over(self) -> None:
        """Lets another manager lead, if this one does and it can be done soon: nobody has to notice that it is gone."""
        if not self.log.is_leader or len(self.status().members) == 1:
            return
        try:
            async with asyncio.timeout(HAND_OVER_SECONDS_MAX):
                await self.log.transfer()
        except (SwarmdError, TimeoutError) as error:
            log.warning("leadership was not handed over", extra={"reason": error})

    # ------------------------------------------------------------------------ how it stands

    @property
    def leads(self) -> bool:
        """Whether this manager leads."""
        return self._leadership.is_set()

    def leader(self) -> Peer:
        """The manager that leads, as far as this one knows.

        Raises:
            NoLeaderError: it knows of none.
        """
        leader = self.log.leader
        if leader is None:
            raise NoLeaderError
        return leader

    def _other_leader(self) -> str | None:
        return None if self.leads else self.leader().address

    def addresses(self) -> tuple[str, ...]:
        """``host:port`` of every manager, as far as this one knows."""
        members = self.log.members
        if members is not self._members:  # asked for at every heartbeat of every node
            self._members, self._addresses = members, tuple(peer.address for peer in members)
        return self._addresses

    def is_member(self, node_id: str) -> bool:
        """Whether a manager of that node is in the log, as far as this one knows."""
        return node_id in self.log.nodes()

    def other_addresses(self) -> tuple[str, ...]:
        """``host:port`` of the other managers, as far as this one knows."""
        status = self.status()
        return tuple(peer.address for peer in status.members if peer != status.me)

    def managers(self) -> Mapping[str, ManagerStatus]:
        """How each member of the raft stands, by node id, as this one sees it now."""
        return managers_of(self.status())

    # ------------------------------------------------------------------------ while it leads

    async def _lead(self) -> None:
        """Leads to the end of the leadership; what breaks off for want of the log begins anew."""
        async with asyncio.TaskGroup() as group:
            reign = group.create_task(self._reign_again_and_again())
            await self._demotion.wait()
            reign.cancel()

    async def _reign_again_and_again(self) -> Never:
        waits = delays(LEAD_AGAIN_SECONDS, LEAD_AGAIN_SECONDS_MAX, self._chance)
        while True:
            try:
                await apart(self._reign())
            except* UnavailableError as errors:
                log.warning("the leader's work is begun anew", extra={"reason": _first(errors)})
            await self._clock.sleep(next(waits))

    async def _reign(self) -> Never:
        store = await self.store.begin_reign()
        async with asyncio.TaskGroup() as group:
            group.create_task(run_loops(store, self._clock, self._chance))
            group.create_task(self.dispatcher.run(store))
            group.create_task(self.roots.run(store))
            group.create_task(keep_members(store, self.log, self._clock))
        raise AssertionError("they run until they are cancelled")

    def _tell_nodes(self, node_ids: Iterable[str]) -> None:
        self.dispatcher.tell_nodes(node_ids)

    async def _dial_logs(self, address: str) -> Channel:
        door = Door(address=address, path=LOGS, protocol=PROTOCOL)
        return reader_end(await self.dial(door, BOUNDS))

    def _is_removed(self) -> None:
        self.on_removed()

    def _leads(self, leads: bool) -> None:  # noqa: FBT001 - the log's callback
        (self._leadership if leads else self._demotion).set()
        (self._demotion if leads else self._leadership).clear()


def managers_of(status: RaftStatus) -> Mapping[str, ManagerStatus]:
    """How each member stands, by node id, as the API shows it."""
    leader = status.leader.member_id if status.leader is not None else ""
    return {
        peer.node_id: ManagerStatus(
            leader=peer.member_id == leader,
            reachability=Reachability.REACHABLE
            if peer.member_id in status.reachable
            else Reachability.UNREACHABLE,
            addr=peer.address,
        )
        for peer in status.members
    }


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """One of the errors in a group of groups."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
