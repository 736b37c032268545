"""Members of one replicated log in one process, each on a disk of its own in memory."""

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from common.clock import SystemClock
from common.codec import pack_plain, unpack_plain
from manager.raft.peers import Peer
from manager.raft.replicated_log import ReplicatedLog
from manager.raft.rules import Rules
from manager.raft.settings import RaftSettings
from manager.raft.storage import Storage
from manager.raft.surroundings import Surroundings
from tests.support.fake_links import FakeNetwork

WAIT_SECONDS = 10
QUICK = RaftSettings(
    heartbeat_seconds=0.02,
    election_seconds_min=0.1,
    election_seconds_max=0.2,
    lost_link_seconds_max=0.02,
    leader_wait_seconds=1.0,
)


class Register:
    """A state machine that remembers what it applied, and applies a request once."""

    def __init__(self) -> None:
        self.applied: list[bytes] = []
        self.answers: dict[bytes, bytes] = {}

    def apply(self, index: int, request_id: bytes, entry: bytes) -> bytes:
        if request_id not in self.answers:
            self.applied.append(entry)
            self.answers[request_id] = b"%d" % len(self.applied)
        return self.answers[request_id]

    def snapshot(self) -> Iterator[bytes]:
        applied, answers = [*self.applied], {**self.answers}
        yield pack_plain([[key, value] for key, value in answers.items()])
        for entry in applied:
            yield pack_plain(entry)

    def restore(self, parts: Iterable[bytes]) -> Callable[[], None]:
        first, *rest = [unpack_plain(part) for part in parts]

        def swap() -> None:
            self.answers = dict(first)
            self.applied = rest

        return swap


class RaftMember:
    """One host: what is on its disk stays when its log is stopped."""

    def __init__(self, cluster: "RaftCluster", name: str) -> None:
        self._cluster = cluster
        self.peer = Peer(member_id=name, node_id=f"node-{name}", address=f"{name}:2377")
        self.machine = Register()
        self.removed = asyncio.Event()
        self.log = self._new_log()

    def _new_log(self) -> ReplicatedLog:
        cluster, name = self._cluster, self.peer.member_id
        self.machine = Register()
        self.links = cluster.network.of(name)
        return ReplicatedLog(
            Storage.at(cluster.directory / name),
            Surroundings(
                me=self.peer,
                machine=self.machine,
                links=self.links,
                clock=SystemClock(),
                chance=random.Random(name),
                settings=cluster.settings,
                rules=cluster.rules,
                on_removed=self.removed.set,
                fail_stop=lambda reason, error: cluster.failures.append((name, reason, error)),
            ),
        )

    async def restart(self) -> None:
        await self.log.stop()
        self.log = self._new_log()
        await self.log.start()

    async def force_new_cluster(self) -> None:
        await self.log.stop()
        self.removed = asyncio.Event()
        self.log = self._new_log()
        await self.log.force_new_cluster()


class RaftCluster:
    """Some members; leave it and they are stopped."""

    def __init__(self, directory: Path, settings: RaftSettings = QUICK) -> None:
        self.directory, self.settings, self.rules = directory, settings, Rules()
        self.network = FakeNetwork()
        self.members: dict[str, RaftMember] = {}
        self.failures: list[tuple[str, str, BaseException]] = []
        self._requests = 0

    async def grow_to(self, *names: str) -> None:
        """Founds a cluster with the first and adds the others."""
        for name in names:
            member = self.members[name] = RaftMember(self, name)
            await member.log.start(bootstrap=len(self.members) == 1)
            if len(self.members) > 1:
                leader = await self.leader()
                await asyncio.wait_for(leader.log.add(member.peer), WAIT_SECONDS)
            else:
                await asyncio.wait_for(member.log.until_leader(), WAIT_SECONDS)

    async def stop(self) -> None:
        for member in self.members.values():
            await member.log.stop()

    async def leader(self, *among: str) -> RaftMember:
        """The member that leads, of all or of these."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                for name, member in self.members.items():
                    if member.log.is_leader and (not among or name in among):
                        return member
                await asyncio.sleep(0.005)

    async def follower(self) -> RaftMember:
        leader = await self.leader()
        return next(m for m in self.members.values() if m is not leader)

    async def propose(self, member: RaftMember, *entries: bytes) -> list[int]:
        indexes = []
        for entry in entries:
            self._requests += 1
            request_id = self._requests.to_bytes(16, "big")
            applied = await asyncio.wait_for(member.log.propose(entry, request_id), WAIT_SECONDS)
            indexes.append(applied.index)
        return indexes

    async def until(self, what: Callable[[], Any]) -> None:
        """Waits until it is so."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not what():  # noqa: ASYNC110 - whatever it is
                await asyncio.sleep(0.005)

    async def settled(self, *names: str) -> list[bytes]:
        """What all have applied, once they have applied the same."""
        members = [self.members[name] for name in names or self.members]
        leader = await self.leader(*names)
        await self.until(
            lambda: all(m.log.status().applied >= leader.log.status().commit for m in members)
        )
        applied = [m.machine.applied for m in members]
        assert all(one == applied[0] for one in applied)
        return applied[0]
