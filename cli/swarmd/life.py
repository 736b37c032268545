"""What runs on a node for as long as it is in a swarm."""

import asyncio
import logging
import random  # noqa: TID251 - only named as a type
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from cli.swarmd.addresses import with_port
from cli.swarmd.agent_line import Line, Overheard
from cli.swarmd.answering import Answering
from cli.swarmd.autolock import keep_locked
from cli.swarmd.dialling import Dialler
from cli.swarmd.local_api import LocalApi
from cli.swarmd.membership import Membership
from cli.swarmd.places import Places
from cli.swarmd.renewing import Renewed, Renewing
from cli.swarmd.signing import signed_by_itself, signed_by_managers
from common.bell import Bell
from common.clock import Clock
from common.errors import (
    NotLeaderError,
    SwarmdError,
    SystemFailureError,
    UnavailableError,
)
from common.events import EventLog
from common.model.node import Role
from common.pki.identity import PeerIdentity
from common.pki.tls import Tls
from common.protocol.byte_stream import ByteStream
from common.protocol.channel import Channel, local_channel
from manager.api import tell_swarm_events
from manager.ca.renewals import Renewals
from manager.ca.server import CaServer
from manager.listener import ClusterListener
from manager.node import Manager
from manager.raft.peers import Peer, RaftStatus
from manager.raft.replicated_log import ReplicatedLog
from manager.raft.storage import Storage
from manager.raft.tls_links import TlsLinks
from manager.routes import ManagerRoutes
from worker.node import WorkerNode

Start = Callable[[ReplicatedLog], Awaitable[None]]

LEAVE = "leave the swarm to let this node join anew"

log = logging.getLogger("swarmd.node")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a swarm node stands on."""

    data_root: Path
    worker: WorkerNode
    addresses: Callable[[], Awaitable[Mapping[str, Sequence[str]]]]
    """This machine's addresses by interface, the loopback and our bridge left out."""
    api: LocalApi
    events: EventLog
    clock: Clock
    chance: random.Random


class Life:
    """A node's part in its swarm. ``run`` is all of it, in one task; ``started`` tells whether it has begun well."""

    def __init__(self, around: Surroundings, places: Places, membership: Membership) -> None:
        """The certificates must be in their place.

        Raises:
            SystemFailureError: they cannot be used.
        """
        self.membership = membership
        self._around, self._places = around, places
        self.tls = Tls(places.certificates)
        self._dialler = Dialler(self.tls, membership.cluster_id)
        self._line = Line(self._dial_dispatcher, around.clock, around.chance)
        self._answering = Answering(self._dial_back, around.api.connect)
        self.renewing = Renewing(
            self.tls,
            self._ask_for_certificate,
            around.clock,
            around.chance,
            keeps_role=lambda: self.manager is not None and not self.membership.is_joining,
        )
        self.renewing.on_change = self._certificate_changed
        self.renewing.on_root_dropped = self._dial_anew
        self.news = Bell(around.clock)
        """Rung when it may be another life that is to be lived."""
        self.is_out_of_log = False
        """Whether this node's manager was taken out of the log: it may be a worker."""
        self.unwanted = ""
        """Why this node is no part of the swarm, as a manager that leads has said."""
        self._channel: Channel | None = None
        """To the manager that leads."""
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once the log is open and the listener listens; an error when that cannot be."""
        self.manager: Manager | None = None
        if membership.member_id:
            me = peer_of(membership)
            self.manager = Manager(
                Storage.at(places.log, places.vault.keys),
                me,
                partial(self._new_links, me),
                self._dialler.stream,
                around.clock,
                around.chance,
            )
            self.manager.on_removed = self._leave_log

    def is_to_manage(self) -> bool:
        """Whether this worker is to be a manager, and has the certificate of one."""
        renewing = self.renewing
        return self.manager is None and renewing.told_role is renewing.facts.role is Role.MANAGER

    def trouble(self) -> str:
        """Why this node is no working part of the swarm; "" while it is. A manager signs its own certificate."""
        trouble = self.renewing.trouble() if self.manager is None else ""
        return f"{trouble}: {LEAVE}" if trouble else ""

    def is_taken_back(self) -> bool:
        """Whether this worker, which was to be a manager and is not one yet, is to stay a worker."""
        return self.membership.is_promoted and self.renewing.told_role is Role.WORKER

    def other_managers(self) -> tuple[str, ...]:
        """``host:port`` of the other managers, as this one's log knows them; none where it cannot say."""
        own = self.membership.cluster_address
        try:
            known = self.manager.addresses() if self.manager is not None else ()
        except NotLeaderError:
            return ()
        return tuple(address for address in known if address != own)

    async def run(self, start: Start) -> None:
        """Lives until cancelled; containers go on then. ``start`` starts the log, one way or another."""
        self._around.worker.show_trust(self.renewing.trust)
        try:
            if self.manager is None:
                await self._run_worker()
            else:
                await self._run_manager(self.manager, start)
        except Exception as error:
            if self.started.done():
                raise
            self.started.set_exception(_single(error))  # whoever starts it is told, and nobody else
        finally:
            self.started.cancel()

    async def _run_worker(self) -> None:
        async with asyncio.TaskGroup() as group:
            self.started.set_result(None)
            tasks = [
                group.create_task(self.renewing.run()),
                group.create_task(self._answering.run()),
            ]
            try:
                await self._around.worker.run_agent(self.membership.node_id, self._connect_worker)
            finally:
                for task in tasks:
                    task.cancel()

    async def _run_manager(self, manager: Manager, start: Start) -> None:
        async with asyncio.TaskGroup() as group, self._listener(manager, group):
            try:
                await start(manager.log)
                self.started.set_result(None)
                await self._work(manager, group)
            finally:
                await manager.hand_over()
                await manager.log.stop()

    async def _work(self, manager: Manager, group: asyncio.TaskGroup) -> None:
        around, vault = self._around, self._places.vault
        tasks = [
            group.create_task(keep_locked(manager.store, vault, around.clock, around.chance)),
            group.create_task(manager.run()),
            group.create_task(tell_swarm_events(manager.store, self._around.events)),
            group.create_task(self.renewing.run()),
            group.create_task(self._answering.run()),
        ]

        def local() -> Channel:
            ours, theirs = local_channel()
            group.create_task(_serve(manager, theirs))
            # Should its own list lack this node, then because the swarm is just being made out of a saved one.
            return self._overheard(ours, lambda _: None)

        async def connect() -> Channel:
            if self.membership.is_promoted:  # its log knows of no leader yet; the agent goes on
                return await self._connect_worker()
            self._channel = await self._line.by_log(manager, local)
            return self._channel

        try:
            await self._around.worker.run_agent(self.membership.node_id, connect)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    # ------------------------------------------------------------------------------ to other nodes

    def _listener(self, manager: Manager, group: asyncio.TaskGroup) -> ClusterListener:
        membership = self.membership
        asked = ManagerRoutes(manager, group.create_task, self._around.clock, self._answering.serve)
        routes = [
            *CaServer(manager.store, self._around.clock, manager.is_member).routes(),
            *asked.routes(),
            self._links.route(),
        ]
        address = with_port(membership.listen_host, membership.listen_port)
        return ClusterListener(
            address,
            self.tls.server,
            membership.cluster_id,
            routes,
            vouch=asked.vouch,
            clock=self._around.clock,
        )

    def _new_links(self, me: Peer, status: Callable[[], RaftStatus]) -> TlsLinks:
        self._links = TlsLinks(
            me,
            self.membership.cluster_id,
            self.tls.client,
            status,
            clock=self._around.clock,
            chance=self._around.chance,
        )
        return self._links

    async def _connect_worker(self) -> Channel:
        self._channel = await self._line.by_trying(self.membership.managers)
        return self._channel

    async def _dial_dispatcher(self, address: str, headers: Mapping[str, str]) -> Channel:
        return self._overheard(await self._dialler.dispatcher(address, headers), self._part)

    def _overheard(self, channel: Channel, note_unwanted: Callable[[str], None]) -> Channel:
        hear = self.renewing.hear
        return Overheard(channel, self._note_managers, note_unwanted, hear, self._answering.hear)

    async def _dial_back(self, call_id: str) -> ByteStream:
        """Opens the stream that answers a call, by whatever way leads to the manager that leads."""
        dial = partial(self._dialler.answer, call_id)
        line = Line(dial, self._around.clock, self._around.chance)
        if self.manager is None or self.membership.is_promoted:
            return await line.by_trying(self.membership.managers)
        return await line.by_log(self.manager, _never)

    def _note_managers(self, managers: tuple[str, ...]) -> None:
        """Remembers where the managers are, for when the one that leads is gone."""
        is_in_log = self.manager is not None and not self.membership.is_joining
        if is_in_log or set(managers) == set(self.membership.managers):
            return
        self.membership = replace(self.membership, managers=managers)
        try:
            self._places.membership.write(self.membership)
        except SystemFailureError as error:  # known until the next start, at least
            log.warning("cannot remember the managers", extra={"reason": error})

    def _part(self, reason: str) -> None:
        self.unwanted = self.unwanted or reason
        self.news.ring()

    def _leave_log(self) -> None:
        self.is_out_of_log = True
        self.news.ring()

    # ------------------------------------------------------------------------------ its certificate

    async def _ask_for_certificate(self, request: bytes) -> Renewed:
        membership = self.membership
        if self.manager is not None and not membership.is_joining:
            own = PeerIdentity(
                node_id=membership.node_id, role=Role.MANAGER, cluster_id=membership.cluster_id
            )
            renewals = Renewals(self.manager.store, self._around.clock, self.manager.is_member)
            is_heard = self.renewing.is_in_date()
            return await signed_by_itself(request, renewals, own, is_heard=is_heard)
        managers = self._around.chance.sample(membership.managers, len(membership.managers))
        return await signed_by_managers(request, managers, self.tls)

    def _certificate_changed(self) -> None:
        self._around.worker.show_trust(self.renewing.trust)
        self.news.ring()

    def _dial_anew(self) -> None:
        """Ends the connections that this node has made: they were made with a root that is trusted no more."""
        if self._channel is not None:
            self._channel.close()
        if self.manager is not None:
            self._links.dial_anew()


def _never() -> ByteStream:
    raise UnavailableError("this manager has come to lead: it needs nobody to reach its own node")


def _single(error: Exception) -> Exception:
    """The error itself, where a task group has wrapped it."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


async def _serve(manager: Manager, channel: Channel) -> None:
    """A session of our own agent; one that fails is opened again by the agent."""
    try:
        await manager.dispatcher.serve(channel)
    except SwarmdError as error:
        log.warning("a session with this node's agent ended", extra={"error": error})
    finally:
        channel.close()


def peer_of(membership: Membership) -> Peer:
    """A manager as the others in the replicated log see it."""
    return Peer(
        member_id=membership.member_id,
        node_id=membership.node_id,
        address=membership.cluster_address,
    )
