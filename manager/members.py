"""The leader keeps the members of the replicated log to what the nodes' roles say."""

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping
from typing import Never, Protocol

from common.clock import Clock
from common.errors import NotFoundError, SwarmdError
from common.model.node import Node, Role
from manager.raft.peers import Peer, RaftStatus
from manager.store.store import Store
from manager.store.watch import Changed, Watch, WatchLaggedError

AGAIN_SECONDS = 5.0
"""How long after a removal that was not possible it is tried again."""

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
        bell = asyncio.Event()
        group.create_task(_ring_on_roles(watch, bell))
        while True:
            bell.clear()
            status = members.status()
            wanted = surplus(store.state.nodes, status.members, status.me.member_id)
            if await _remove(members, wanted):
                await bell.wait()
            else:
                await clock.sleep(AGAIN_SECONDS)
    raise AssertionError("runs until it is cancelled")


async def _remove(members: Members, surplus: Collection[Peer]) -> bool:
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
            return False
        log.info("a manager was taken out of the replicated log", extra={"node": peer.node_id})
    return True


async def _ring_on_roles(watch: Watch, bell: asyncio.Event) -> Never:
    while True:
        try:
            news = await watch.take()
        except WatchLaggedError:
            bell.set()
            continue
        if any(_changes_role(item) for committed in news for item in committed.changed):
            bell.set()


def _changes_role(item: Changed) -> bool:
    old, new = item.old, item.new
    if isinstance(old, Node) and not isinstance(new, Node):
        return True
    return isinstance(new, Node) and isinstance(old, Node) and new.spec.role is not old.spec.role
