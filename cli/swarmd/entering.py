"""How a node becomes a part of a swarm: the steps of a join, and how one that fails is undone."""

import asyncio
import logging
from dataclasses import replace

from cli.swarmd import joining
from cli.swarmd.living import Living, Running
from cli.swarmd.membership import Membership
from cli.swarmd.placing import new_membership
from common.errors import SwarmdError, UnavailableError
from common.model.node import Role
from manager.api.ports import JoinRequest
from manager.raft.replicated_log import ReplicatedLog

JOIN_SECONDS_MAX = 20.0
"""How long a request to join waits, as Docker's; after it the joining goes on without it."""
JOINING_GOES_ON = (
    "Timeout was reached before node joined. The attempt to join the swarm will continue in the background. "
    'Use the "docker info" command to see the current swarm status of your node.'
)

log = logging.getLogger("swarmd.node")


async def join(living: Living, request: JoinRequest) -> None:
    """``SwarmNode.join``, for whoever holds ``living.changing``."""
    living.refuse_in_a_swarm()
    placed = await new_membership(living.around, request, "", "")
    await living.forget()
    introduced = await joining.introduce(request, placed.address, living.describe())
    membership = replace(
        placed,
        node_id=introduced.node_id,
        cluster_id=introduced.cluster_id,
        member_id=placed.member_id if introduced.role is Role.MANAGER else "",
        managers=request.remote_addrs,
        is_joining=introduced.role is Role.MANAGER,
    )
    try:
        living.write_certificate(introduced.credentials)
        living.places.membership.write(membership)
        running = await living.start(membership, ReplicatedLog.start)
        running.is_awaited = True
        living.go_on(running)
        await _until_joined(running)
    except BaseException as error:
        await _undo(living, membership, error)
        raise
    if not running.joined.done():
        raise UnavailableError(JOINING_GOES_ON)
    log.info("joined a swarm", extra={"node": membership.node_id, "role": introduced.role.value})


async def _until_joined(running: Running) -> None:
    await asyncio.wait({running.joined}, timeout=JOIN_SECONDS_MAX)
    running.is_awaited = False
    if running.joined.done():
        await running.joined


async def _undo(living: Living, membership: Membership, error: BaseException) -> None:
    """Leaves nothing of a join that has failed, as far as it can be told also in the cluster's list."""
    await living.stop()
    living.places.membership.remove()
    if isinstance(error, SwarmdError):
        await joining.take_back(living.places.certificates, membership)
    living.places.forget()
