"""A manager's keys follow what the cluster says, and only what is sure."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from typing_extensions import override

from cli.swarmd.autolock import keep_locked, lock_of
from cli.swarmd.places import Places
from cli.swarmd.vault import Vault
from common.errors import InvalidInputError
from common.model.cluster import Cluster, ClusterSpec, EncryptionConfig
from common.pki.lock import Lock
from manager.store.changes import Create, Update
from manager.store.replica import Replica
from manager.store.store import Store
from tests.support.fake_clock import FakeClock
from tests.support.fake_swarm import FakeLog
from tests.support.pki import credentials, identity

ONE, OTHER = Lock(b"1" * 32), Lock(b"2" * 32)
SECONDS_MAX = 10


def cluster(lock: Lock | None, *, is_on: bool = True) -> Cluster:
    spec = ClusterSpec(encryption_config=EncryptionConfig(auto_lock_managers=is_on))
    return Cluster(id="c", spec=spec, unlock_key=lock.text if lock is not None else "")


LOCKS = {
    "on": (cluster(ONE), ONE),
    "off": (cluster(None, is_on=False), None),
    "off, with a key that is left": (cluster(ONE, is_on=False), None),
}


@pytest.mark.parametrize(("given", "expected"), LOCKS.values(), ids=LOCKS)
def test_the_lock_that_a_cluster_says(given: Cluster, expected: Lock | None) -> None:
    assert lock_of(given) == expected


def test_no_key_is_no_lock() -> None:
    with pytest.raises(InvalidInputError):
        lock_of(cluster(None))


class Scene:
    """A manager's directory and what its store says."""

    def __init__(self, directory: Path) -> None:
        self.places = Places(directory)
        self.places.vault.keys.load_or_create()
        self.places.certificates.write(credentials(identity("node1")))
        replica, self.clock = Replica(), FakeClock()
        self.log = FakeLog(replica)
        self.store = Store(replica, self.log, self.clock, random.Random(1))

    @asynccontextmanager
    async def kept(self, vault: Vault | None = None) -> AsyncIterator[None]:
        task = asyncio.get_running_loop().create_task(
            keep_locked(self.store, vault or self.places.vault, self.clock, random.Random(1))
        )
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait((task,))
            assert task.cancelled()

    async def say(self, lock: Lock | None, *, is_on: bool = True) -> None:
        now, before = cluster(lock, is_on=is_on), self.store.state.cluster()
        if before is None:
            await self.store.propose([Create(object=now)])
        else:
            changed = replace(before, spec=now.spec, unlock_key=now.unlock_key)
            await self.store.propose([Update(object=changed)])

    async def until(self, lock: Lock | None) -> None:
        async with asyncio.timeout(SECONDS_MAX):
            while not await asyncio.to_thread(self.places.vault.is_under, lock):
                pass


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path / "swarm")


async def test_follows_every_change_of_the_lock(scene: Scene) -> None:
    async with scene.kept():
        for lock in (None, ONE, OTHER, None):
            await scene.say(lock, is_on=lock is not None)
            await scene.until(lock)
            assert scene.places.vault.keys.is_sealed() == (lock is not None)


async def test_unlocks_nothing_by_what_may_be_of_long_ago(scene: Scene) -> None:
    scene.places.vault.relock(ONE)
    await scene.say(None, is_on=False)
    scene.log.has_leader = False
    async with scene.kept():
        for _ in range(20):
            await asyncio.sleep(0)
            await scene.clock.advance(1)
        assert scene.log.looks > 1, "it asks, and asks again"
        assert scene.places.vault.is_under(ONE)
        scene.log.has_leader = True
        await scene.clock.advance(60)
        await scene.until(None)


async def test_a_change_under_way_is_finished_before_anybody_else_may_touch_the_keys(
    scene: Scene,
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    class SlowVault(Vault):
        @override
        def relock(self, lock: Lock | None) -> None:
            begun.set()
            assert go_on.wait(SECONDS_MAX)
            super().relock(lock)

    vault = SlowVault(scene.places.vault.keys, scene.places.certificates)
    async with scene.kept(vault):
        await scene.say(ONE)
        assert await asyncio.to_thread(begun.wait, SECONDS_MAX)
        asyncio.get_running_loop().call_later(0.01, go_on.set)
    assert scene.places.vault.lock == ONE
