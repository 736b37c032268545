"""The leader tells nodes what their certificates are to be, and has another root take the place of the present one."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final, Never

from common.clock import Clock
from common.errors import StaleVersionError
from common.model.cluster import Cluster, RootCa
from common.model.node import Node
from common.pki.tokens import new_token
from common.protocol.messages import NodeTold
from manager.ca.roots import issuer_key, trust_of
from manager.ca.rotation import completed, next_turn, waited_for
from manager.ca.told import told_of
from manager.store.changes import Update
from manager.store.store import Store
from manager.store.watch import Watch, WatchLaggedError

TURN_SECONDS: Final = 3.0
"""Between one turn of nodes that are asked to renew and the next."""
LOOK_SECONDS: Final = 0.5
"""Between one look at all nodes and the next, however often they change."""

log = logging.getLogger("swarmd.ca")


class RootRotating:
    """``told`` is what a node is to be told; ``run`` goes on with a rotation, also with one that another leader began.

    Everything that has to survive is in the store. Which nodes had their turn is not: a new leader sees which of them
    have followed, and asks the others again, which changes nothing where they are following already.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        is_member: Callable[[str], bool],
        tell_nodes: Callable[[Iterable[str]], None],
    ) -> None:
        """``is_member``: whether a manager runs on that node; ``tell_nodes`` has nodes told that are here."""
        self._store, self._clock = store, clock
        self._is_member, self._tell_nodes = is_member, tell_nodes
        self._is_loaded = False
        self._asked: set[str] = set()
        self._asked_for = b""
        """The issuer that those were asked to have a certificate of."""

    def told(self, node: Node) -> NodeTold | None:
        """What the node is to be told; None: nothing yet."""
        root = self._root()
        if root is None or not self._is_loaded:
            return None
        is_turn = node.id in self._asked and issuer_key(root) == self._asked_for
        return told_of(root, node, is_member=self._is_member(node.id), is_turn=is_turn)

    async def run(self, ruling: Store) -> Never:
        """Goes on for as long as this manager leads; ``ruling`` is the store for this reign."""
        self._asked, self._asked_for = set(), b""
        bell = asyncio.Event()
        bell.set()
        async with self._store.watch() as watch, asyncio.TaskGroup() as group:
            group.create_task(_ring(watch, bell))
            while True:
                await bell.wait()
                bell.clear()
                while await self._look(ruling):
                    await self._clock.sleep(TURN_SECONDS)
                await self._clock.sleep(LOOK_SECONDS)
        raise AssertionError("runs until it is cancelled")

    async def _look(self, ruling: Store) -> bool:
        """Asks the next nodes, or ends the rotation; gives whether some were asked."""
        root = self._root()
        if root is None:
            return False
        if not self._is_loaded:
            await asyncio.to_thread(_load, root)
            self._is_loaded = True
            self._tell_nodes(self._store.state.nodes)
        if issuer_key(root) != self._asked_for:
            self._asked, self._asked_for = set(), issuer_key(root)
        waiting = waited_for(root, self._store.state.nodes.values())
        self._asked &= {node.id for node in waiting}
        if root.rotation is not None and not waiting:
            await self._complete(ruling)
            return False
        turn = next_turn(waiting, self._asked)
        self._asked.update(turn)
        self._tell_nodes(turn)
        return bool(turn)

    async def _complete(self, ruling: Store) -> None:
        cluster = self._store.state.cluster()
        if cluster is None or cluster.root_ca.rotation is None:
            return
        certificate = cluster.root_ca.rotation.certificate
        tokens = str(new_token(certificate)), str(new_token(certificate))
        root = completed(cluster.root_ca, *tokens)
        try:
            await ruling.propose([Update(object=replace(cluster, root_ca=root))])
        except StaleVersionError:
            return  # the bell rings for what has changed
        log.info("the cluster has another root: the former one is trusted no more")

    def _root(self) -> RootCa | None:
        cluster = self._store.state.cluster()
        return cluster.root_ca if cluster is not None and cluster.root_ca.certificate else None


def _load(root: RootCa) -> None:
    """Loads what reads certificates, which takes long, and reads these."""
    issuer_key(root)
    trust_of(root)


async def _ring(watch: Watch, bell: asyncio.Event) -> Never:
    while True:
        try:
            news = await watch.take()
        except WatchLaggedError:
            bell.set()
            continue
        if any(
            isinstance(item.new or item.old, Node | Cluster)
            for committed in news
            for item in committed.changed
        ):
            bell.set()
