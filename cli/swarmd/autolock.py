"""Keeps a manager's keys locked as the cluster says."""

import asyncio
import logging
import random  # noqa: TID251 - only named as a type
from collections.abc import Callable
from typing import Final, Never

from cli.swarmd.vault import Vault
from common.backoff import delays
from common.clock import Clock
from common.errors import SwarmdError
from common.model.cluster import Cluster
from common.pki.lock import Lock
from manager.store.store import Store
from manager.store.watch import Watch, WatchLaggedError

AGAIN_SECONDS: Final = 0.2
AGAIN_SECONDS_MAX: Final = 10.0

log = logging.getLogger("swarmd.node")


async def keep_locked(store: Store, vault: Vault, clock: Clock, chance: random.Random) -> Never:
    """Locks the keys anew whenever the cluster's unlock key is another, unlocks them when it has none."""
    waits = delays(AGAIN_SECONDS, AGAIN_SECONDS_MAX, chance)
    async with store.watch() as watch:
        while True:
            try:
                seen = await follow(store, vault)
            except SwarmdError as error:
                log.warning("this manager's keys are not locked anew", extra={"reason": error})
                await clock.sleep(next(waits))
                continue
            waits = delays(AGAIN_SECONDS, AGAIN_SECONDS_MAX, chance)
            await _until_changed(store, watch, seen)


async def follow(store: Store, vault: Vault) -> Cluster | None:
    """Does what the cluster says, and gives the cluster that said so.

    Raises:
        UnavailableError: nobody knows what it says now.
        SystemFailureError: the machine refuses; the keys open as before.
    """
    cluster = store.state.cluster()
    if not _differs(cluster, vault):
        return cluster
    # What this manager knows may be of long ago: with that it might unlock keys that must be locked.
    await store.up_to_date()
    cluster = store.state.cluster()
    if cluster is None or not _differs(cluster, vault):
        return cluster
    lock = lock_of(cluster)
    await _to_the_end(lambda: vault.relock(lock))
    log.info("this manager's keys are %s", "locked" if lock is not None else "not locked any more")
    return cluster


def _differs(cluster: Cluster | None, vault: Vault) -> bool:
    return cluster is not None and not vault.is_under(lock_of(cluster))


def lock_of(cluster: Cluster) -> Lock | None:
    """What the keys of this cluster's managers are to be locked with.

    Raises:
        InvalidInputError: the cluster's unlock key is none.
    """
    if not cluster.spec.encryption_config.auto_lock_managers:
        return None
    return Lock.parse(cluster.unlock_key)


async def _until_changed(store: Store, watch: Watch, seen: Cluster | None) -> None:
    while store.state.cluster() is seen:
        try:
            await watch.take()
        except WatchLaggedError:
            return


async def _to_the_end(work: Callable[[], None]) -> None:
    """Does it in a thread and, also when cancelled, waits for it: nobody else may touch the keys meanwhile."""
    future = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait((future,))
        if not future.cancelled():
            future.exception()  # of no interest any more
        raise
