"""How a node makes a swarm of itself alone: a new one, one that was saved, or one out of what its log holds."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from cli.swarmd import founding
from cli.swarmd.autolock import follow, lock_of
from cli.swarmd.life import Start
from cli.swarmd.living import Living, Running
from cli.swarmd.membership import Membership
from cli.swarmd.placing import moved, new_membership
from common.errors import InvalidInputError, UnavailableError
from common.ids import id_source
from common.model.cluster import DEFAULT_CERT_EXPIRY_SECONDS, RootCa
from manager.api.ports import InitRequest, SavedState
from manager.node import Manager
from manager.raft.replicated_log import ReplicatedLog
from manager.store.changes import Change, Create

Begin = Callable[[Manager], Sequence[Sequence[Change]]]
"""The first entries that the only manager of a swarm writes."""

log = logging.getLogger("swarmd.node")


async def init(living: Living, request: InitRequest) -> str:
    """``SwarmNode.init``, for whoever holds ``living.changing``."""
    if request.force_new_cluster and living.running is not None:
        return await _force_new_cluster(living, living.running.life.membership, request)
    living.refuse_in_a_swarm()
    new_id = id_source(living.around.chance)
    membership = await new_membership(living.around, request, new_id(), new_id())
    root = await asyncio.to_thread(founding.new_root_ca, living.around.clock.now())
    cluster = founding.new_cluster(membership.cluster_id, request, root)

    def begin(_: Manager) -> Sequence[Sequence[Change]]:
        node = founding.first_node(membership, request.availability, living.describe())
        return [[Create(object=cluster), Create(object=node)]]

    lifetime = request.spec.ca_config.node_cert_expiry_seconds
    await living.forget()  # should a disk have refused to let an earlier swarm go
    lock = lock_of(cluster)
    if lock is not None:  # from the beginning, so that no key is ever on the disk in clear
        await asyncio.to_thread(living.places.vault.begin, lock)
    await _found(living, membership, root, lifetime, start=_bootstrap, begin=begin)
    log.info(
        "made a swarm", extra={"node": membership.node_id, "address": membership.cluster_address}
    )
    return membership.node_id


async def restore(living: Living, request: InitRequest, saved: SavedState) -> str:
    """``SwarmNode.restore``, for whoever holds ``living.changing``."""
    living.refuse_in_a_swarm()
    if not saved.root.key:
        raise InvalidInputError("the saved state is not that of a whole swarm")
    node_id = id_source(living.around.chance)()
    membership = await new_membership(living.around, request, saved.cluster_id, node_id)

    async def start(log: ReplicatedLog) -> None:
        await log.restore(saved.index, saved.parts())

    def begin(manager: Manager) -> Sequence[Sequence[Change]]:
        node = founding.first_node(membership, request.availability, living.describe())
        return founding.alone(manager.store.state, node)

    lifetime = DEFAULT_CERT_EXPIRY_SECONDS
    await living.forget()  # should a disk have refused to let an earlier swarm go
    await _found(living, membership, saved.root, lifetime, start=start, begin=begin)
    log.info(
        "restored a swarm",
        extra={"node": membership.node_id, "address": membership.cluster_address},
    )
    return membership.node_id


async def _found(
    living: Living,
    membership: Membership,
    root: RootCa,
    lifetime_seconds: float,
    *,
    start: Start,
    begin: Begin,
) -> None:
    """Makes this node the only manager of a swarm: all of it, or nothing."""
    now = living.around.clock.now()
    credentials = await asyncio.to_thread(
        founding.first_credentials, root, membership, now, lifetime_seconds
    )
    try:
        living.write_certificate(credentials)
        running = await living.start(membership, start)
        await _lead_alone(living, running, begin)
    except BaseException:
        living.places.membership.remove()
        living.places.forget()
        raise
    living.go_on(running)


async def _lead_alone(living: Living, running: Running, begin: Begin) -> None:
    """Has the only manager of a swarm write its first entries, and remembers it; otherwise ends it."""
    manager = running.life.manager
    assert manager is not None, "only a manager is begun alone"  # noqa: S101 - our own mistake
    try:
        await manager.log.until_leader()
        for changes in begin(manager):
            await manager.store.propose(changes)
        await follow(manager.store, living.places.vault)
        living.places.membership.write(running.life.membership)
    except BaseException:
        await running.end()
        raise


async def _force_new_cluster(living: Living, before: Membership, request: InitRequest) -> str:
    """Goes on with what the log holds, as the only manager. What the log says then stays said."""
    if not before.member_id:
        raise UnavailableError(
            "This node is not a swarm manager: only a manager has the state of a swarm"
        )
    after = replace(await moved(living.around, before, request), is_joining=False)
    await living.stop()
    living.trouble = "forcing a new cluster has failed; start swarmd again"
    running = await living.start(after, ReplicatedLog.force_new_cluster)

    def begin(manager: Manager) -> Sequence[Sequence[Change]]:
        node = founding.first_node(after, request.availability, living.describe())
        return founding.alone(manager.store.state, node)

    await _lead_alone(living, running, begin)
    living.go_on(running)
    log.warning(
        "forced a new cluster: this node is its only manager", extra={"node": after.node_id}
    )
    return after.node_id


async def _bootstrap(log: ReplicatedLog) -> None:
    await log.start(bootstrap=True)
