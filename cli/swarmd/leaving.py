"""What a manager does for the others before it leaves them."""

import asyncio
import logging
from dataclasses import replace

from cli.swarmd.membership import Membership
from common.clock import Clock
from common.errors import ConflictError, NotFoundError, SwarmdError, UnavailableError
from common.model.node import Role
from manager.node import Manager
from manager.store.changes import Update

LEAVE_SECONDS_MAX = 15.0
"""The others are waited for so long; then it leaves without them."""
ATTEMPTS_MAX = 5
REMOVALS_MAX = 50
AGAIN_SECONDS = 0.1

log = logging.getLogger("swarmd.node")


async def say_goodbye(
    manager: Manager, membership: Membership, clock: Clock, *, force: bool
) -> None:
    """Makes this node a worker in the cluster's list and takes it out of the log; nothing where it is alone.

    Raises:
        UnavailableError: the others cannot be told, and it is not forced.
    """
    if all(peer.member_id == membership.member_id for peer in manager.log.status().members):
        return
    try:
        async with asyncio.timeout(LEAVE_SECONDS_MAX):
            await _be_worker(manager, membership.node_id)
            await _be_taken_out(manager, membership.member_id, clock)
    except (SwarmdError, TimeoutError) as error:
        reason = str(error) or "they do not answer in time"
        if not force:
            raise UnavailableError(f"the other managers cannot be told: {reason}") from error
        log.warning("leaving without telling the other managers", extra={"reason": reason})


async def _be_worker(manager: Manager, node_id: str) -> None:
    for attempt in range(1, ATTEMPTS_MAX + 1):
        node = manager.store.state.nodes.get(node_id)
        if node is None or node.spec.role is Role.WORKER:
            return
        spec = replace(node.spec, role=Role.WORKER)
        try:
            await manager.store.propose([Update(object=replace(node, spec=spec))])
        except ConflictError:  # somebody else wrote first
            if attempt == ATTEMPTS_MAX:
                raise
        else:
            return


async def _be_taken_out(manager: Manager, member_id: str, clock: Clock) -> None:
    """The leader takes out workers by itself, so that it may be done already."""
    for attempt in range(1, REMOVALS_MAX + 1):
        if manager.log.is_removed(member_id):
            return
        try:
            await manager.log.remove(member_id)
        except NotFoundError:
            return
        except (
            ConflictError
        ):  # another change of the members is under way, or too few of them are there
            if attempt == REMOVALS_MAX:
                raise
        else:
            return
        await clock.sleep(AGAIN_SECONDS)
