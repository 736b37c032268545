"""This node's life in a swarm: makes one, joins one, goes on with it after a restart, leaves it (README.md)."""

import asyncio
import logging
from types import TracebackType
from typing import Self

from cli.swarmd import entering, joining, making, unlocking
from cli.swarmd.leaving import say_goodbye
from cli.swarmd.life import LEAVE, Surroundings
from cli.swarmd.living import Living
from cli.swarmd.turning import resumed, tend
from common.errors import SystemFailureError, UnavailableError
from manager.api.ports import InitRequest, JoinRequest, LocalState, SavedState
from manager.node import Manager

NOT_IN_SWARM = "This node is not part of a swarm"
LOG_GONE = f"this manager's log is gone: remove it from the swarm by another manager; {LEAVE}"

log = logging.getLogger("swarmd.node")


class SwarmNode:
    """Implements ``manager.api.ports.SwarmNode``. An async context: entering goes on with the swarm that it is in.

    What is on disk decides (README.md), so that a crash at any moment is followed by one state or the other. Making,
    joining and leaving go on to their end when whoever asked is gone. Should manager or agent fail of itself, the task
    that entered is cancelled and leaving raises why.
    """

    def __init__(self, around: Surroundings) -> None:
        self._living = Living(around, tend)

    # ------------------------------------------------------------------------ how it stands

    @property
    def node_id(self) -> str:
        """Its id in the swarm; "" outside of one."""
        running = self._living.running
        return running.life.membership.node_id if running else ""

    @property
    def node_addr(self) -> str:
        """The address by which the others reach it; "" outside of a swarm."""
        running = self._living.running
        return running.life.membership.address if running else ""

    @property
    def manager(self) -> Manager | None:
        """The manager that runs here; None on a worker, outside of a swarm, and while it joins."""
        running = self._living.running
        if running is None or running.life.membership.is_joining:
            return None
        return running.life.manager

    def local_state(self) -> LocalState:
        """How it stands to a swarm."""
        return self._living.state()

    def local_error(self) -> str:
        """Why it is no part of its swarm any more."""
        return self._living.error()

    # ------------------------------------------------------------------------ its life

    async def __aenter__(self) -> Self:
        """Goes on with the swarm that this node is in, if it is in one; waits for no other node.

        Raises:
            SystemFailureError: the log, the certificate or the membership is damaged, or the address is taken.
        """
        await self._living.keeper.open()
        try:
            await _resume(self._living)
        except BaseException as error:
            await self._living.keeper.close(error)
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
            await self._living.stop()
        finally:
            await self._living.keeper.close(error)

    # ------------------------------------------------------------------------ into a swarm

    async def init(self, request: InitRequest) -> str:
        """Makes a new swarm of this one node, as its manager, or out of what its log holds; gives the node's id.

        Raises:
            InvalidInputError: an address that this machine does not have, or several to choose from.
            UnavailableError: it is part of a swarm already.
            SystemFailureError: the disk refused, or an address is taken; nothing of the swarm is left.
        """

        async def work() -> str:
            async with self._living.changing:
                return await making.init(self._living, request)

        return await self._living.keeper.finish(work())

    async def restore(self, request: InitRequest, saved: SavedState) -> str:
        """Makes a new swarm of this one node out of a saved one; gives the node's id.

        Raises:
            InvalidInputError: an address that this machine does not have, or several to choose from, or the saved state
                is not that of a whole swarm.
            UnavailableError: it is part of a swarm already.
            SystemFailureError: the disk refused, or an address is taken; nothing of the swarm is left.
        """

        async def work() -> str:
            async with self._living.changing:
                return await making.restore(self._living, request, saved)

        return await self._living.keeper.finish(work())

    async def join(self, request: JoinRequest) -> None:
        """Becomes a part of a swarm; its role is the join token's.

        Raises:
            InvalidInputError: the token or an address cannot be right; nothing was changed.
            ForbiddenError: the managers do not take the token.
            UnavailableError: it is part of a swarm already, no manager can be reached, or it goes on in the background.
            SystemFailureError: the disk refused, or an address is taken; nothing of the swarm is left.
        """

        async def work() -> None:
            async with self._living.changing:
                await entering.join(self._living, request)

        await self._living.keeper.finish(work())

    async def unlock(self, key: str) -> None:
        """Goes on as the manager whose keys are locked.

        Raises:
            ConflictError: they are not.
            InvalidInputError: it is another key, or none; nothing was changed.
            SystemFailureError: the disk refused, or an address is taken; it stays locked.
        """

        async def work() -> None:
            async with self._living.changing:
                await unlocking.unlock(self._living, key)

        await self._living.keeper.finish(work())

    # ------------------------------------------------------------------------ out of it

    async def leave(self, *, force: bool) -> None:
        """Leaves the swarm: stops its tasks and forgets it.

        Raises:
            UnavailableError: it is part of no swarm, or, without ``force``, the others cannot be told.
            SystemFailureError: it has left, but something of it could not be taken away; the next start or swarm does.
        """
        await self._living.keeper.finish(self._leave(force=force))

    async def _leave(self, *, force: bool) -> None:
        living = self._living
        async with living.changing:
            if self.local_state() is LocalState.INACTIVE:
                raise UnavailableError(NOT_IN_SWARM)
            node_id, life = self.node_id, living.running.life if living.running else None
            if life is not None and life.membership.is_joining:
                # A worker that is being promoted has tasks: its node is given up only once it is seen to be gone.
                if not life.membership.is_promoted:
                    await joining.take_back(living.places.certificates, life.membership)
            elif life is not None and life.manager is not None:
                await say_goodbye(life.manager, life.membership, living.around.clock, force=force)
            await living.stop()
            living.places.membership.remove()
            living.trouble, living.locked = "", None
            log.info("left the swarm", extra={"node": node_id})
            await living.forget()


async def _resume(living: Living) -> None:
    membership = living.places.membership.read()
    if membership is None:
        await living.forget()  # what a crash in the middle of init, join or leave has left
        return
    if membership.removed:
        log.error("this node is no part of its swarm", extra={"reason": membership.removed})
        living.trouble = membership.removed
        return
    if membership.member_id and not membership.is_joining and not living.places.has_log():
        # With an empty one it would vote for whoever lacks what it has acknowledged.
        log.error(LOG_GONE)
        living.trouble = LOG_GONE
        return
    if membership.member_id:
        if await asyncio.to_thread(living.places.vault.is_locked):
            log.warning("this manager is locked", extra={"node": membership.node_id})
            living.locked = membership
            return
        await asyncio.to_thread(living.places.vault.open)
    if living.places.certificates.open() is None:
        raise SystemFailureError(
            "this node's certificate is gone; without it no other node believes it"
        )
    if not membership.member_id:
        await asyncio.to_thread(living.places.forget_log)  # a crash may have kept it from going
    living.go_on(await resumed(living, membership))
