"""This node's life in a swarm: makes one, joins one, goes on with it after a restart, leaves it (README.md)."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from cli.swarmd import founding, joining
from cli.swarmd.addresses import advertised, listening, port_of
from cli.swarmd.leaving import say_goodbye
from cli.swarmd.life import Life, Start, Surroundings
from cli.swarmd.membership import Membership
from cli.swarmd.places import Places
from common.errors import InvalidInputError, SwarmdError, SystemFailureError, UnavailableError
from common.ids import id_source
from common.keeper import Keeper
from common.model.cluster import DEFAULT_CERT_EXPIRY_SECONDS, RootCa
from common.model.node import NodeDescription, Role
from common.pki.files import Credentials
from manager.api.ports import InitRequest, JoinRequest, LocalState, SavedState
from manager.node import Manager
from manager.raft.peers import MEMBER_ID_DIGITS
from manager.raft.replicated_log import ReplicatedLog
from manager.store.changes import Change, Create

JOIN_SECONDS_MAX = 20.0
"""How long a request to join waits, as Docker's; after it the joining goes on without it."""
SWARM_EXISTS = (
    "This node is already part of a swarm. "
    'Use "docker swarm leave" to leave this swarm and join another one.'
)
NOT_IN_SWARM = "This node is not part of a swarm"
JOINING_GOES_ON = (
    "Timeout was reached before node joined. The attempt to join the swarm will continue in the background. "
    'Use the "docker info" command to see the current swarm status of your node.'
)
LEAVE = "leave the swarm to let this node join anew"
LOG_GONE = f"this manager's log is gone: remove it from the swarm by another manager; {LEAVE}"

log = logging.getLogger("swarmd.node")


@dataclass(slots=True, kw_only=True)
class _Running:
    """A membership that is being lived."""

    life: Life
    task: asyncio.Task[None]
    joined: asyncio.Future[None]
    """Done once the swarm has taken it in; an error when it never will, for whoever waits."""
    tending: asyncio.Task[None] | None = None
    is_awaited: bool = False
    """Whether the request to join still waits for ``joined``."""

    async def end(self) -> None:
        """Ends it in order; containers go on."""
        tasks = {self.task}
        if self.tending is not None and self.tending is not asyncio.current_task():
            tasks.add(self.tending)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


Begin = Callable[[Manager], Sequence[Sequence[Change]]]


class SwarmNode:
    """Implements ``manager.api.ports.SwarmNode``. An async context: entering goes on with the swarm that it is in.

    What is on disk decides (README.md), so that a crash at any moment is followed by one state or the other. Making,
    joining and leaving go on to their end when whoever asked is gone. Should manager or agent fail of itself, the task
    that entered is cancelled and leaving raises why.
    """

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._places = Places(around.data_root / "swarm")
        self._running: _Running | None = None
        self._trouble = ""
        """Why it is no working part of the swarm that it remembers."""
        self._keeper = Keeper()
        self._changing = asyncio.Lock()

    # ------------------------------------------------------------------------ how it stands

    @property
    def node_id(self) -> str:
        """Its id in the swarm; "" outside of one."""
        return self._running.life.membership.node_id if self._running else ""

    @property
    def node_addr(self) -> str:
        """The address by which the others reach it; "" outside of a swarm."""
        return self._running.life.membership.address if self._running else ""

    @property
    def manager(self) -> Manager | None:
        """The manager that runs here; None on a worker, outside of a swarm, and while it joins."""
        if self._running is None or self._running.life.membership.is_joining:
            return None
        return self._running.life.manager

    def local_state(self) -> LocalState:
        """How it stands to a swarm."""
        if self._running is None:
            return LocalState.ERROR if self._trouble else LocalState.INACTIVE
        is_joining = self._running.life.membership.is_joining
        return LocalState.PENDING if is_joining else LocalState.ACTIVE

    def local_error(self) -> str:
        """Why it is no part of its swarm any more."""
        return "" if self._running else self._trouble

    # ------------------------------------------------------------------------ its life

    async def __aenter__(self) -> Self:
        """Goes on with the swarm that this node is in, if it is in one; waits for no other node.

        Raises:
            SystemFailureError: the log, the certificate or the membership is damaged, or the address is taken.
        """
        await self._keeper.open()
        try:
            await self._resume()
        except BaseException as error:
            await self._keeper.close(error)
            raise
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Stops the agent and the manager in order; containers go on."""
        try:
            await self._stop()
        finally:
            await self._keeper.close(error)

    async def _resume(self) -> None:
        membership = self._places.membership.read()
        if membership is None:
            await self._forget()  # what a crash in the middle of init, join or leave has left
            return
        if membership.removed:
            log.error("this node is no part of its swarm", extra={"reason": membership.removed})
            self._trouble = membership.removed
            return
        if membership.member_id and not membership.is_joining and not self._places.has_log():
            # With an empty one it would vote for whoever lacks what it has acknowledged.
            log.error(LOG_GONE)
            self._trouble = LOG_GONE
            return
        if self._places.certificates.open() is None:
            raise SystemFailureError(
                "this node's certificate is gone; without it no other node believes it"
            )
        self._live(await self._start(membership, ReplicatedLog.start))

    async def _start(self, membership: Membership, start: Start) -> _Running:
        """Begins to live a membership; nothing of it runs when this raises."""
        life = Life(self._around, self._places, membership)
        task = self._keeper.spawn(life.run(start))
        await life.started
        return _Running(life=life, task=task, joined=asyncio.get_running_loop().create_future())

    def _live(self, running: _Running) -> None:
        """From now on this is how the node stands."""
        self._running, self._trouble = running, ""
        if not running.life.membership.is_joining:
            running.joined.set_result(None)
        running.tending = self._keeper.spawn(self._tend(running))

    async def _stop(self) -> None:
        if self._running is not None:
            running, self._running = self._running, None
            await running.end()

    # ------------------------------------------------------------------------ making a swarm

    async def init(self, request: InitRequest) -> str:
        """Makes a new swarm of this one node, as its manager, or out of what its log holds; gives the node's id.

        Raises:
            InvalidInputError: an address that this machine does not have, or several to choose from.
            UnavailableError: it is part of a swarm already.
            SystemFailureError: the disk refused, or an address is taken; nothing of the swarm is left.
        """
        return await self._keeper.finish(self._init(request))

    async def _init(self, request: InitRequest) -> str:
        async with self._changing:
            if request.force_new_cluster and self._running is not None:
                return await self._force_new_cluster(self._running.life.membership, request)
            self._refuse_in_a_swarm()
            new_id = id_source(self._around.chance)
            membership = await self._new_membership(request, new_id(), new_id())
            root = await asyncio.to_thread(founding.new_root_ca, self._around.clock.now())
            cluster = founding.new_cluster(membership.cluster_id, request, root)

            def begin(_: Manager) -> Sequence[Sequence[Change]]:
                node = founding.first_node(membership, request.availability, self._describe())
                return [[Create(object=cluster), Create(object=node)]]

            lifetime = request.spec.ca_config.node_cert_expiry_seconds
            await self._found(membership, root, lifetime, start=_bootstrap, begin=begin)
            log.info(
                "made a swarm",
                extra={"node": membership.node_id, "address": membership.cluster_address},
            )
            return membership.node_id

    async def restore(self, request: InitRequest, saved: SavedState) -> str:
        """Makes a new swarm of this one node out of a saved one; gives the node's id.

        Raises:
            InvalidInputError: an address that this machine does not have, or several to choose from, or the saved state
                is not that of a whole swarm.
            UnavailableError: it is part of a swarm already.
            SystemFailureError: the disk refused, or an address is taken; nothing of the swarm is left.
        """
        return await self._keeper.finish(self._restore(request, saved))

    async def _restore(self, request: InitRequest, saved: SavedState) -> str:
        async with self._changing:
            self._refuse_in_a_swarm()
            if not saved.root.key:
                raise InvalidInputError("the saved state is not that of a whole swarm")
            node_id = id_source(self._around.chance)()
            membership = await self._new_membership(request, saved.cluster_id, node_id)

            async def start(log: ReplicatedLog) -> None:
                await log.restore(saved.index, saved.parts())

            def begin(manager: Manager) -> Sequence[Sequence[Change]]:
                node = founding.first_node(membership, request.availability, self._describe())
                return founding.alone(manager.store.state, node)

            await self._found(
                membership, saved.root, DEFAULT_CERT_EXPIRY_SECONDS, start=start, begin=begin
            )
            log.info(
                "restored a swarm",
                extra={"node": membership.node_id, "address": membership.cluster_address},
            )
            return membership.node_id

    async def _found(
        self,
        membership: Membership,
        root: RootCa,
        lifetime_seconds: float,
        *,
        start: Start,
        begin: Begin,
    ) -> None:
        """Makes this node the only manager of a swarm: all of it, or nothing."""
        await self._forget()  # should a disk have refused to let an earlier swarm go
        now = self._around.clock.now()
        credentials = await asyncio.to_thread(
            founding.first_credentials, root, membership, now, lifetime_seconds
        )
        try:
            self._write_certificate(credentials)
            running = await self._start(membership, start)
            await self._lead_alone(running, begin)
        except BaseException:
            self._places.membership.remove()
            self._places.forget()
            raise
        self._live(running)

    async def _lead_alone(self, running: _Running, begin: Begin) -> None:
        """Has the only manager of a swarm write its first entries, and remembers it; otherwise ends it."""
        manager = running.life.manager
        assert manager is not None, "only a manager is begun alone"  # noqa: S101 - our own mistake
        try:
            await manager.log.until_leader()
            for changes in begin(manager):
                await manager.store.propose(changes)
            self._places.membership.write(running.life.membership)
        except BaseException:
            await running.end()
            raise

    async def _force_new_cluster(self, before: Membership, request: InitRequest) -> str:
        """Goes on with what the log holds, as the only manager. What the log says then stays said."""
        if not before.member_id:
            raise UnavailableError(
                "This node is not a swarm manager: only a manager has the state of a swarm"
            )
        after = replace(await self._moved(before, request), is_joining=False)
        await self._stop()
        self._trouble = "forcing a new cluster has failed; start swarmd again"
        running = await self._start(after, ReplicatedLog.force_new_cluster)

        def begin(manager: Manager) -> Sequence[Sequence[Change]]:
            node = founding.first_node(after, request.availability, self._describe())
            return founding.alone(manager.store.state, node)

        await self._lead_alone(running, begin)
        self._live(running)
        log.warning(
            "forced a new cluster: this node is its only manager", extra={"node": after.node_id}
        )
        return after.node_id

    # ------------------------------------------------------------------------ joining one

    async def join(self, request: JoinRequest) -> None:
        """Becomes a part of a swarm; its role is the join token's.

        Raises:
            InvalidInputError: the token or an address cannot be right; nothing was changed.
            ForbiddenError: the managers do not take the token.
            UnavailableError: it is part of a swarm already, no manager can be reached, or it goes on in the background.
            SystemFailureError: the disk refused, or an address is taken; nothing of the swarm is left.
        """
        await self._keeper.finish(self._join(request))

    async def _join(self, request: JoinRequest) -> None:
        async with self._changing:
            self._refuse_in_a_swarm()
            placed = await self._new_membership(request, "", "")
            await self._forget()
            introduced = await joining.introduce(request, placed.address, self._describe())
            membership = replace(
                placed,
                node_id=introduced.node_id,
                cluster_id=introduced.cluster_id,
                member_id=placed.member_id if introduced.role is Role.MANAGER else "",
                managers=request.remote_addrs,
                is_joining=introduced.role is Role.MANAGER,
            )
            try:
                self._write_certificate(introduced.credentials)
                self._places.membership.write(membership)
                running = await self._start(membership, ReplicatedLog.start)
                running.is_awaited = True
                self._live(running)
                await self._until_joined(running)
            except BaseException as error:
                await self._undo_join(membership, error)
                raise
            if not running.joined.done():
                raise UnavailableError(JOINING_GOES_ON)
            log.info(
                "joined a swarm",
                extra={"node": membership.node_id, "role": introduced.role.value},
            )

    async def _until_joined(self, running: _Running) -> None:
        await asyncio.wait({running.joined}, timeout=JOIN_SECONDS_MAX)
        running.is_awaited = False
        if running.joined.done():
            await running.joined

    async def _undo_join(self, membership: Membership, error: BaseException) -> None:
        """Leaves nothing of a join that has failed, as far as it can be told also in the cluster's list."""
        await self._stop()
        self._places.membership.remove()
        if isinstance(error, SwarmdError):
            await joining.take_back(self._places.certificates, membership)
        self._places.forget()

    async def _tend(self, running: _Running) -> None:
        """Has this manager added, if it is not yet; then waits to be told that it is one no more."""
        life, manager = running.life, running.life.manager
        try:
            if manager is not None and life.membership.is_joining:
                managers = await joining.until_added(
                    self._places.certificates, life.membership, manager.status, self._around
                )
                self._note_joined(running, managers)
        except SwarmdError as error:
            if running.is_awaited:
                running.joined.set_exception(error)
            else:
                await self._become_removed(life, str(error))
            return
        reason = await life.parted
        if reason:
            await self._become_removed(life, f"{reason}; {LEAVE}")
        else:
            await self._become_worker(life)

    def _note_joined(self, running: _Running, managers: Sequence[str]) -> None:
        life = running.life
        life.membership = replace(
            life.membership, is_joining=False, managers=tuple(managers) or life.membership.managers
        )
        try:
            self._places.membership.write(life.membership)
        except (
            SystemFailureError
        ) as error:  # the next start asks to be added again, which changes nothing
            log.warning("cannot remember that this node has joined", extra={"reason": error})
        if not running.joined.done():
            running.joined.set_result(None)

    async def _become_removed(self, life: Life, reason: str) -> None:
        """Takes part no longer. Containers go on until this node is told to leave."""
        async with self._changing:
            if self._running is None or self._running.life is not life:
                return  # it is leaving anyway
            log.error("this node is no part of its swarm any more", extra={"reason": reason})
            await self._stop()
            self._trouble = reason
            self._places.membership.write(replace(life.membership, removed=reason))

    async def _become_worker(self, life: Life) -> None:
        """Goes on as a worker; should the node be no part of the swarm any more, a manager will say so."""
        async with self._changing:
            if self._running is None or self._running.life is not life:
                return  # it is leaving anyway
            before, managers = life.membership, life.other_managers()
            if not managers:
                managers = before.managers
            log.warning(
                "this manager was removed from the replicated log: the node goes on as a worker",
                extra={"node": before.node_id, "managers": " ".join(managers)},
            )
            await self._stop()
            membership = replace(before, member_id="", is_joining=False, managers=managers)
            self._places.membership.write(membership)
            await asyncio.to_thread(self._places.forget_log)
            self._live(await self._start(membership, ReplicatedLog.start))

    # ------------------------------------------------------------------------ leaving it

    async def leave(self, *, force: bool) -> None:
        """Leaves the swarm: stops its tasks and forgets it.

        Raises:
            UnavailableError: it is part of no swarm, or, without ``force``, the others cannot be told.
            SystemFailureError: it has left, but something of it could not be taken away; the next start or swarm does.
        """
        await self._keeper.finish(self._leave(force=force))

    async def _leave(self, *, force: bool) -> None:
        async with self._changing:
            if self.local_state() is LocalState.INACTIVE:
                raise UnavailableError(NOT_IN_SWARM)
            node_id, life = self.node_id, self._running.life if self._running else None
            if life is not None and life.membership.is_joining:
                await joining.take_back(self._places.certificates, life.membership)
            elif life is not None and life.manager is not None:
                await say_goodbye(life.manager, life.membership, self._around.clock, force=force)
            await self._stop()
            self._places.membership.remove()
            self._trouble = ""
            log.info("left the swarm", extra={"node": node_id})
            await self._forget()

    # ------------------------------------------------------------------------ how it does that

    def _refuse_in_a_swarm(self) -> None:
        if self._running is not None:
            raise UnavailableError(SWARM_EXISTS)
        if self._trouble:
            raise UnavailableError(f"{SWARM_EXISTS} {self._trouble}")

    async def _new_membership(
        self, request: InitRequest | JoinRequest, cluster_id: str, node_id: str
    ) -> Membership:
        """Where this node is to be reached, and a new id in the log.

        Raises:
            InvalidInputError: an address that this machine does not have, or several to choose from.
        """
        own = await self._around.addresses()
        host, port = listening(request.listen_addr, own)
        return Membership(
            node_id=node_id,
            cluster_id=cluster_id,
            member_id=f"{self._around.chance.getrandbits(4 * MEMBER_ID_DIGITS):0{MEMBER_ID_DIGITS}x}",
            address=advertised(request.advertise_addr, own),
            port=port_of(request.advertise_addr, port),
            listen_host=host,
            listen_port=port,
        )

    async def _moved(self, before: Membership, request: InitRequest) -> Membership:
        """A membership with another address, if the request says one."""
        if not request.advertise_addr:
            return before
        own = await self._around.addresses()
        return replace(
            before,
            address=advertised(request.advertise_addr, own),
            port=port_of(request.advertise_addr, before.port),
        )

    def _write_certificate(self, credentials: Credentials) -> None:
        try:
            self._places.make()
            self._places.certificates.write(credentials)
        except OSError as error:
            raise SystemFailureError(
                f"cannot keep this node's certificate: {error.strerror or error}"
            ) from error

    async def _forget(self) -> None:
        """Takes away what is left of a swarm that it is not in: its tasks' containers, its log, its certificate."""
        await self._around.worker.forget_tasks()
        await asyncio.to_thread(self._places.forget)

    def _describe(self) -> NodeDescription:
        return self._around.worker.describe()


async def _bootstrap(log: ReplicatedLog) -> None:
    await log.start(bootstrap=True)
