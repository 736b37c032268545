"""Out of a saved cluster: what a new one begins with."""

import asyncio

from common.errors import InvalidInputError
from common.model.cluster import RootCa
from manager.api.ports import SavedState
from manager.store.replica import Replica


async def root_of(saved: SavedState) -> RootCa:
    """The certificate authority in a saved cluster; shows that all of it can be read.

    Raises:
        InvalidInputError: it cannot be read, or is no whole cluster.
    """
    replica = Replica()
    become = await asyncio.to_thread(lambda: replica.restore(saved.parts()))
    become()
    cluster = replica.state.cluster()
    if cluster is None or cluster.id != saved.cluster_id or not cluster.root_ca.key:
        raise InvalidInputError("the saved state is not that of a whole swarm")
    return cluster.root_ca
