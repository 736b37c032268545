"""This node's life in a swarm: makes one, goes on with it after a restart, leaves it."""

import asyncio
import logging
import random  # noqa: TID251 - only named as a type
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from cli.swarmd.addresses import DEFAULT_SWARM_PORT, advertised
from cli.swarmd.membership import Membership, MembershipFile
from common.clock import Clock
from common.errors import (
    NotImplementedHereError,
    SwarmdError,
    SystemFailureError,
    UnavailableError,
)
from common.events import EventLog
from common.ids import id_source
from common.keeper import Keeper
from common.model.cluster import DEFAULT_DATA_PATH_PORT, Cluster
from common.model.node import (
    ManagerStatus,
    Node,
    NodeDescription,
    NodeSpec,
    NodeState,
    NodeStatus,
    Reachability,
    Role,
)
from common.protocol.channel import Channel, local_channel
from manager.api import tell_swarm_events
from manager.api.ports import InitRequest, JoinRequest, LocalState, SavedState
from manager.node import Manager
from manager.store.changes import Create
from worker.node import WorkerNode

log = logging.getLogger("swarmd.node")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a swarm node stands on."""

    data_root: Path
    worker: WorkerNode
    addresses: Callable[[], Awaitable[Mapping[str, Sequence[str]]]]
    """This machine's addresses by interface, the loopback and our bridge left out."""
    events: EventLog
    clock: Clock
    chance: random.Random


@dataclass(slots=True)
class _Running:
    """A membership that is being lived."""

    membership: Membership
    manager: Manager
    life: asyncio.Task[None]


class SwarmNode:
    """Implements ``manager.api.ports.SwarmNode``. An async context: entering goes on with the swarm that it is in.

    What is on disk decides: the membership file is written last when a swarm is made and removed first when it is
    left, so that a crash at any moment is followed by the one state or the other. Making and leaving go on to their
    end when whoever asked is gone. Should manager or agent fail of itself, the task that entered is cancelled and
    leaving raises why.
    """

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._file = MembershipFile(around.data_root / "swarm" / "node")
        self._running: _Running | None = None
        self._keeper = Keeper()
        self._changing = asyncio.Lock()

    # ------------------------------------------------------------------------ how it stands

    @property
    def node_id(self) -> str:
        """Its id in the swarm; "" outside of one."""
        return self._running.membership.node_id if self._running else ""

    @property
    def node_addr(self) -> str:
        """The address by which the others reach it; "" outside of a swarm."""
        return self._running.membership.address if self._running else ""

    @property
    def manager(self) -> Manager | None:
        """The manager that runs here; None outside of a swarm."""
        return self._running.manager if self._running else None

    def local_state(self) -> LocalState:
        """How it stands to a swarm."""
        return LocalState.ACTIVE if self._running else LocalState.INACTIVE

    def local_error(self) -> str:
        """Nothing: a node whose swarm cannot be resumed does not start."""
        return ""

    # ------------------------------------------------------------------------ its life

    async def __aenter__(self) -> Self:
        """Goes on with the swarm that this node is in, if it is in one.

        Raises:
            SystemFailureError: the journal or the membership is damaged.
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
        membership = self._file.read()
        if membership is None:
            await self._forget()  # what a crash in the middle of init or leave has left
            return
        manager = self._new_manager(membership.node_id)
        try:
            await manager.start()
        except BaseException:
            await manager.close()
            raise
        self._live(membership, manager)

    async def _stop(self) -> None:
        if self._running is not None:
            running, self._running = self._running, None
            running.life.cancel()
            await asyncio.wait((running.life,))

    async def init(self, request: InitRequest) -> str:
        """Makes a new swarm of this one node, as its manager; gives the node's id.

        Raises:
            InvalidInputError: an address that this machine does not have, or several to choose from.
            UnavailableError: it is part of a swarm already.
            NotImplementedHereError: a new cluster is to be forced out of an old one.
            SystemFailureError: the disk refused; nothing of the swarm is left.
        """
        return await self._keeper.finish(self._init(request))

    async def _init(self, request: InitRequest) -> str:
        async with self._changing:
            if request.force_new_cluster:
                raise NotImplementedHereError("forcing a new cluster is not available yet")
            if self._running is not None:
                raise UnavailableError(
                    "This node is already part of a swarm. "
                    'Use "docker swarm leave" to leave this swarm and join another one.'
                )
            address = advertised(request.advertise_addr, await self._around.addresses())
            await self._forget()  # should a disk have refused to let an earlier swarm go
            new_id = id_source(self._around.chance)
            membership = Membership(node_id=new_id(), address=address)
            manager = self._new_manager(membership.node_id)
            try:
                await manager.start()
                await manager.store.propose(
                    [
                        Create(object=_new_cluster(new_id(), request)),
                        Create(
                            object=_new_node(membership, request, self._around.worker.describe())
                        ),
                    ]
                )
                self._remember(membership)
            except BaseException:
                await manager.close()
                self._file.remove()
                self._forget_journal()
                raise
            self._live(membership, manager)
            log.info("made a swarm", extra={"node": membership.node_id, "address": address})
            return membership.node_id

    async def join(self, request: JoinRequest) -> None:  # noqa: ARG002 - as the API's port has it
        """Refuses.

        Raises:
            NotImplementedHereError: always.
        """
        raise NotImplementedHereError("joining a swarm: not implemented")

    async def restore(self, request: InitRequest, saved: SavedState) -> str:  # noqa: ARG002
        """Refuses.

        Raises:
            NotImplementedHereError: always.
        """
        raise NotImplementedHereError("restoring a swarm: not implemented")

    async def leave(self, *, force: bool) -> None:  # noqa: ARG002 - whether it may go was asked by the API
        """Leaves the swarm: stops its tasks and forgets it.

        Raises:
            UnavailableError: it is part of no swarm.
            SystemFailureError: it has left, but something of it could not be taken away; the next start or swarm does.
        """
        await self._keeper.finish(self._leave())

    async def _leave(self) -> None:
        async with self._changing:
            if self._running is None:
                raise UnavailableError("This node is not part of a swarm")
            node_id = self.node_id
            await self._stop()
            self._file.remove()
            log.info("left the swarm", extra={"node": node_id})
            await self._forget()

    # ------------------------------------------------------------------------ how it does that

    def _new_manager(self, node_id: str) -> Manager:
        return Manager(self._directory, node_id, self._around.clock, self._around.chance)

    @property
    def _directory(self) -> Path:
        return self._around.data_root / "swarm" / "raft"

    def _remember(self, membership: Membership) -> None:
        try:
            self._file.write(membership)
        except OSError as error:
            raise SystemFailureError(
                f"cannot remember the new swarm on disk: {error.strerror or error}"
            ) from error

    async def _forget(self) -> None:
        """Takes away what is left of a swarm that this node is not in: its tasks' containers and its journal."""
        await self._around.worker.forget_tasks()
        self._forget_journal()

    def _forget_journal(self) -> None:
        try:
            shutil.rmtree(self._directory)
        except FileNotFoundError:
            return
        except OSError as error:
            raise SystemFailureError(
                f"cannot remove {self._directory}: {error.strerror or error}"
            ) from error

    def _live(self, membership: Membership, manager: Manager) -> None:
        life = self._keeper.spawn(self._life(membership.node_id, manager))
        self._running = _Running(membership, manager, life)

    async def _life(self, node_id: str, manager: Manager) -> None:
        """The manager and this node's agent, until cancelled."""
        async with asyncio.TaskGroup() as group:
            running = group.create_task(manager.run())
            telling = group.create_task(tell_swarm_events(manager.store, self._around.events))

            async def connect() -> Channel:
                ours, theirs = local_channel()
                group.create_task(_serve(manager, theirs))
                return ours

            try:
                await self._around.worker.run_agent(node_id, connect)
            finally:
                telling.cancel()
                running.cancel()


async def _serve(manager: Manager, channel: Channel) -> None:
    """A session of our own agent; one that fails is opened again by the agent."""
    try:
        await manager.dispatcher.serve(channel)
    except SwarmdError as error:
        log.warning("a session with this node's agent ended", extra={"error": error})
    finally:
        channel.close()


def _new_cluster(cluster_id: str, request: InitRequest) -> Cluster:
    return Cluster(
        id=cluster_id,
        spec=request.spec,
        data_path_port=request.data_path_port or DEFAULT_DATA_PATH_PORT,
        default_addr_pool=request.default_addr_pool or ("10.0.0.0/8",),
        subnet_size=request.subnet_size,
    )


def _new_node(membership: Membership, request: InitRequest, description: NodeDescription) -> Node:
    return Node(
        id=membership.node_id,
        spec=NodeSpec(role=Role.MANAGER, availability=request.availability),
        description=description,
        status=NodeStatus(state=NodeState.UNKNOWN, addr=membership.address),
        manager_status=ManagerStatus(
            leader=True,
            reachability=Reachability.REACHABLE,
            addr=f"{membership.address}:{DEFAULT_SWARM_PORT}",
        ),
    )
