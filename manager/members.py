"""The leader keeps the members of the replicated log to what the nodes' roles say."""

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping
from typing import Never, Protocol

from common.bell import Bell
from common.clock import Clock
from common.errors import NotFoundError, SwarmdError
from common.model.node import Node, Role
from manager.raft.peers import Peer, RaftStatus
from manager.store.store import Store
from manager.store.watch import Changed, Watch, WatchLaggedError

AGAIN_SECONDS = 5.0
"""How long after a removal that was not possible it is tried again.

It is looked as often without a reason: a node may be demoted while the leader is about to add it."""

log = logging.getLogger("swarmd.manager")


class Members(Protocol):
    """What is asked of the replicated log."""

    def status(self) -> RaftStatus:
        """How things stand."""
        ...

    async def remove(self, member_id: str, *, force: bool = False) -> None:
        """Takes a member out for ever."""
        ...


def surplus(nodes: Mapping[str, Node], members: Iterable[Peer], own: str) -> list[Peer]:
    """Members that are to be taken out: their nodes are workers now, or are gone. The leader itself comes last.

    A leader whose own node is not in the list is left alone: it is a swarm that is just being made or restored.
    """
    found = []
    for peer in members:
        node = nodes.get(peer.node_id)
        if (node is None and peer.member_id != own) or (
            node is not None and node.spec.role is Role.WORKER
        ):
            found.append(peer)
    return sorted(found, key=lambda peer: (peer.member_id == own, peer.member_id))


async def keep_members(store: Store, members: Members, clock: Clock) -> Never:
    """Takes members out of the log whose nodes are no managers any more, for as long as this manager leads."""
    async with store.watch() as watch, asyncio.TaskGroup() as group:
        bell = Bell(clock)
        group.create_task(_ring_on_roles(watch, bell))
        while True:
            status = members.status()
            wanted = surplus(store.state.nodes, status.members, status.me.member_id)
            await _remove(members, wanted)
            await bell.wait(AGAIN_SECONDS)
    raise AssertionError("runs until it is cancelled")


async def _remove(members: Members, surplus: Collection[Peer]) -> None:
    for peer in surplus:
        try:
            await members.remove(peer.member_id)
        except NotFoundError:
            continue
        except SwarmdError as error:
            log.warning(
                "a manager that is to be a worker stays in the replicated log for now",
                extra={"node": peer.node_id, "reason": error},
            )
            return
        log.info("a manager was taken out of the replicated log", extra={"node": peer.node_id})


async def _ring_on_roles(watch: Watch, bell: Bell) -> Never:
    while True:
        try:
            news = await watch.take()
        except WatchLaggedError:
            bell.ring()
            continue
        if any(_changes_role(item) for committed in news for item in committed.changed):
            bell.ring()


def _changes_role(item: Changed) -> bool:
    old, new = item.old, item.new
    if isinstance(old, Node) and not isinstance(new, Node):
        return True
    return isinstance(new, Node) and isinstance(old, Node) and new.spec.role is not old.spec.role
