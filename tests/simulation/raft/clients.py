"""Clients: they set, compare and read registers through any member, and try again when they do not know."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from common.errors import UnavailableError
from manager.raft.log import REQUEST_ID_BYTES
from tests.simulation.raft.registers import pack_compare_and_set, pack_set, read_answer

if TYPE_CHECKING:
    from tests.simulation.raft.world import Host, World

Ask = Callable[[], Coroutine[Any, Any, Any]]

KEYS = [f"key{number}" for number in range(40)]
TRIES_MAX = 12
PATIENCE_SECONDS = (0.3, 4.0)
"""How long a client waits for an answer before it asks another member."""


@dataclass
class Counts:
    """What all clients did."""

    acknowledged: int = 0
    unknown: int = 0
    refused: int = 0
    reads: int = 0
    retries: int = 0


@dataclass
class Clients:
    """All clients of a run."""

    world: "World"
    chance: random.Random
    think_seconds: float
    counts: Counts = field(default_factory=Counts)
    is_over: bool = False
    _made: int = 0

    async def client(self) -> None:
        """One client: one thing after another."""
        while not self.is_over:
            await asyncio.sleep(self.chance.expovariate(1 / self.think_seconds))
            match self.chance.random():
                case draw if draw < 0.3:
                    await self.read()
                case draw if draw < 0.32:
                    await self.burst(self.chance.randint(5, 40))
                case _:
                    await self.write()

    async def burst(self, size: int) -> None:
        """Many writes at once through one member."""
        async with asyncio.TaskGroup() as group:
            for _ in range(size):
                group.create_task(self.write())

    async def write(self, through: "Host | None" = None, tries: int = TRIES_MAX) -> bool:
        """One write, with its retries, through any member or a given one; whether it was acknowledged."""
        self._made += 1
        number = self._made
        request_id = number.to_bytes(REQUEST_ID_BYTES, "big")
        entry = self._entry(f"value{number}")
        witness = self.world.invariants.witness
        begun = witness.begin(f"write {number}")
        for attempt in range(tries):
            self.counts.retries += attempt > 0
            host = through or self._some_host()
            if host is None or host.log is None:
                await asyncio.sleep(0.2)
                continue
            propose = partial(host.log.propose, entry, request_id)
            applied = await self._answer_of(host, propose)
            if applied is None:
                await asyncio.sleep(self.chance.uniform(0.0, 0.3))
                continue
            answer = read_answer(applied.answer)
            self.counts.acknowledged += 1
            self.world.trace(f"write {number} acknowledged at {answer.index} by {host.name}")
            self.world.invariants.write_acknowledged(request_id, answer.index)
            self._judge(witness.end(begun, answer.index, is_read=False))
            return True
        self.counts.unknown += 1
        return False

    async def read(self, through: "Host | None" = None) -> bool:
        """One linearizable read; whether it was answered."""
        host = through or self._some_host()
        if host is None or host.log is None:
            return False
        witness = self.world.invariants.witness
        begun = witness.begin(f"a read through {host.name}")
        index = await self._answer_of(host, host.read_index)
        if index is None:
            return False
        self.counts.reads += 1
        self.world.trace(f"read through {host.name} at {index}")
        self._judge(witness.end(begun, index, is_read=True))
        return True

    async def _answer_of(self, host: "Host", ask: Ask) -> Any | None:
        """What the member answers in time; None: nothing, and the outcome is unknown."""
        process = host.process
        if process is None:
            return None
        task = process.spawn(_refusals_told(ask))
        await asyncio.wait({task}, timeout=self.chance.uniform(*PATIENCE_SECONDS))
        if not task.done() and self.chance.random() < 0.5:
            process.run(task.cancel)  # else its answer comes to nobody
        if not task.done() or task.cancelled():
            return None
        answer = task.result()
        self.counts.refused += isinstance(answer, UnavailableError)
        return None if isinstance(answer, UnavailableError) else answer

    def _some_host(self) -> "Host | None":
        hosts = [host for host in self.world.hosts if host.is_member]
        if not hosts:
            return None
        leaders = [host for host in hosts if host.log is not None and host.log.is_leader]
        if leaders and self.chance.random() < 0.5:
            return self.chance.choice(leaders)
        return self.chance.choice(hosts)

    def _entry(self, value: str) -> bytes:
        key = self.chance.choice(KEYS)
        if self.chance.random() < 0.5:
            return pack_set(key, value)
        return pack_compare_and_set(key, self.world.last_seen(key), value)

    def _judge(self, wrong: str | None) -> None:
        if wrong is not None:
            self.world.invariants.wrong(f"not linearizable: {wrong}")


async def _refusals_told(ask: Ask) -> Any:
    """A refusal as a value."""
    try:
        return await ask()
    except UnavailableError as error:
        return error
