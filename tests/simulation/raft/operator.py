"""The operator: adds managers, removes them, replaces dead ones, and is never sure what became of it."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from common.errors import SwarmdError
from manager.raft.peers import Peer
from tests.simulation.raft.world import Host, World

PATIENCE_SECONDS = 6.0
MEMBERS_MIN, MEMBERS_MAX = 3, 5
JOINER_STARTS_WITHIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """How often the operator does what, as weights."""

    every_seconds: float = 2.0
    add: float = 4
    remove: float = 3
    remove_leader: float = 1
    replace_dead: float = 2
    return_removed: float = 1


NO_CHANGES = Changes(every_seconds=1000.0)


class Operator:
    """One who changes the membership."""

    def __init__(self, world: World, changes: Changes, chance: random.Random) -> None:
        self._world, self._changes, self._chance = world, changes, chance
        self.is_over = False
        self._removed_ids: list[tuple[str, str, str]] = []

    async def found(self, size: int) -> None:
        """Makes a cluster of that many members."""
        first = self._world.add_host()
        first.boots_as_first = True
        first.boot()
        for _ in range(size - 1):
            host = self._world.add_host()
            while not await self.add(host):  # noqa: ASYNC110 - nobody tells when it may work
                await asyncio.sleep(0.2)

    async def run(self) -> None:
        """One change after another."""
        kinds = {
            self._add: self._changes.add,
            self._remove: self._changes.remove,
            self._remove_leader: self._changes.remove_leader,
            self._replace_dead: self._changes.replace_dead,
            self._return_removed: self._changes.return_removed,
        }
        while not self.is_over:
            await asyncio.sleep(self._chance.expovariate(1 / self._changes.every_seconds))
            if not self.is_over:
                await self._chance.choices(list(kinds), list(kinds.values()))[0]()

    async def add(self, host: Host) -> bool:
        """Has a host join; whether it surely did."""
        if not host.is_up and (host.was_removed or not host.was_offered):
            host.come_anew()
        waited = 0.0
        while host.log is None and waited < JOINER_STARTS_WITHIN_SECONDS:
            await asyncio.sleep(0.1)
            waited += 0.1
        leader = self.leader()
        if leader is None or leader.log is None or host.log is None:
            return False
        host.was_offered = True
        peer = Peer(member_id=host.member_id, node_id=host.name, address=host.address)
        return await self._change(
            leader, partial(leader.log.add, peer), f"add {host.name} {peer.member_id}"
        )

    async def remove(self, host: Host, *, by: Host) -> bool:
        """Has a member removed; whether it surely was."""
        if by.log is None:
            return False
        member_id = host.member_id
        done = await self._change(
            by,
            partial(by.log.remove, member_id, force=self._chance.random() < 0.1),
            f"remove {host.name} {member_id}",
        )
        if done:
            self._removed_ids.append((member_id, host.name, host.address))
        return done

    # ---------------------------------------------------------------------------------------- kinds

    async def _add(self) -> None:
        members = self._members()
        if not 0 < len(members) < MEMBERS_MAX:
            return
        spare = [
            host for host in self._world.hosts if host.member_id not in members and not host.is_lost
        ]
        host = self._chance.choice(spare) if spare else self._world.add_host()
        await self.add(host)

    async def _remove(self) -> None:
        leader, members = self.leader(), self._members()
        if leader is None or len(members) <= MEMBERS_MIN:
            return
        host = self._world.host_of(self._chance.choice(sorted(members)))
        anyone = self._world.host_of(self._chance.choice(sorted(members)))
        if host is not None and anyone is not None:
            await self.remove(host, by=self._chance.choice((leader, anyone)))

    async def _remove_leader(self) -> None:
        leader, members = self.leader(), self._members()
        if leader is not None and len(members) > MEMBERS_MIN:
            await self.remove(leader, by=leader)

    async def _replace_dead(self) -> None:
        """A member's machine burns down; it is removed, then another one joins."""
        leader = self.leader()
        if leader is None or not await self._is_quiet(leader):
            return
        members = [self._world.host_of(one) for one in sorted(self._members())]
        present = [host for host in members if host is not None and not host.is_lost]
        if len(present) < len(members) or len(present) < MEMBERS_MIN:
            return
        dead = self._chance.choice([host for host in present if host is not leader])
        self._world.trace(f"{dead.name} burns down")
        dead.is_lost = True
        dead.crash("it burnt down", power=True)
        await self.bury_dead()

    async def bury_dead(self) -> None:
        """Removes members whose machines are gone."""
        for member_id in sorted(self._members()):
            host, leader = self._world.host_of(member_id), self.leader()
            if host is not None and host.is_lost and leader is not None:
                await self.remove(host, by=leader)

    async def _return_removed(self) -> None:
        """Tries what must be refused: a member that was removed comes back as itself."""
        leader = self.leader()
        if leader is None or leader.log is None or not self._removed_ids:
            return
        member_id, name, address = self._chance.choice(self._removed_ids)
        peer = Peer(member_id=member_id, node_id=name, address=address)
        await self._change(leader, partial(leader.log.add, peer), f"add {name} {member_id} again")

    # --------------------------------------------------------------------------------------- inside

    async def _change(
        self, leader: Host, change: Callable[[], Coroutine[Any, Any, None]], what: str
    ) -> bool:
        self._world.trace(f"{leader.name} is asked to {what}")
        task = self._world.ask(leader, change)
        await asyncio.wait({task}, timeout=PATIENCE_SECONDS)
        if not task.done():
            self._world.trace(f"no answer: {what}")
            return False
        if task.cancelled():
            return False
        error = task.exception()
        self._world.trace(f"{what}: {error or 'done'}")
        self._world.counts.changes += error is None
        return error is None

    async def _is_quiet(self, leader: Host) -> bool:
        """Whether no change is under way that could still come true."""
        if leader.log is None:
            return False
        task = self._world.ask(leader, leader.log.up_to_date)
        await asyncio.wait({task}, timeout=PATIENCE_SECONDS)
        return task.done() and not task.cancelled() and task.exception() is None

    def leader(self) -> Host | None:
        """A member that says that it leads."""
        leaders = [
            host for host in self._world.hosts if host.log is not None and host.log.is_leader
        ]
        return self._chance.choice(leaders) if leaders else None

    def _members(self) -> set[str]:
        leader = self.leader()
        if leader is None or leader.log is None:
            return set()
        return {member.member_id for member in leader.log.status().members}


REFUSALS = (SwarmdError,)
