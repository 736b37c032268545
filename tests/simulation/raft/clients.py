"""Clients: they set, compare and read registers through any member, and try again when they do not know."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from common.errors import UnavailableError
from integration.linearizability import (
    Action,
    Operation,
    Outcome,
    Read,
    Refusal,
    Swap,
    Write,
    check,
)
from manager.raft.log import REQUEST_ID_BYTES
from tests.simulation.raft.registers import Answer, pack_compare_and_set, pack_set, read_answer

if TYPE_CHECKING:
    from tests.simulation.raft.world import Host, World

Ask = Callable[[], Coroutine[Any, Any, Any]]

KEYS = [f"key{number}" for number in range(40)]
STEPS_MAX = 20_000
"""How long an order of what clients saw is looked for, for each register."""
LARGE_BYTES_MAX = 3000
"""Some entries are larger than a message of the profiles takes, or than may be under way at once."""
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


@dataclass(frozen=True)
class _Write:
    """What a client wants to have written."""

    number: int
    key: str
    entry: bytes
    action: Write | Swap
    expected: str | None

    @property
    def request_id(self) -> bytes:
        """By which it is known when it is asked for again."""
        return self.number.to_bytes(REQUEST_ID_BYTES, "big")

    @property
    def refusal(self) -> Refusal:
        """What it is when something else was found."""
        return Refusal(expected=self.expected)


@dataclass
class Clients:
    """All clients of a run."""

    world: "World"
    chance: random.Random
    think_seconds: float
    is_faithful: bool = False
    """Whether a write is only ever tried again through the same life of the same member."""
    counts: Counts = field(default_factory=Counts)
    history: list[Operation] = field(default_factory=list)
    is_over: bool = False
    patience_seconds: tuple[float, float] = PATIENCE_SECONDS
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
        called, write = self._now(), self._draw_write(self._made)
        begun = self.world.invariants.witness.begin(f"write {write.number}")
        answer = await self._answered(write, through, tries)
        if answer is None:
            self.counts.unknown += 1
            self._note(write.key, write.action, called, None)
            return False
        self.counts.acknowledged += 1
        self.world.trace(f"write {write.number} acknowledged at {answer.index}")
        self.world.invariants.write_acknowledged(write.request_id, answer.index)
        self._judge(self.world.invariants.witness.end(begun, answer.index, is_read=False))
        self._note(write.key, write.action if answer.done else write.refusal, called, self._now())
        return True

    async def _answered(self, write: "_Write", through: "Host | None", tries: int) -> Answer | None:
        log = None
        for attempt in range(tries):
            self.counts.retries += attempt > 0
            host = through or self._some_host()
            if host is None or host.log is None:
                await asyncio.sleep(0.2)
                continue
            if self.is_faithful:
                if log not in (None, host.log):
                    return None
                through, log = host, host.log
            propose = partial(host.log.propose, write.entry, write.request_id)
            applied = await self._answer_of(host, propose)
            if applied is not None:
                return read_answer(applied.answer)
            await asyncio.sleep(self.chance.uniform(0.0, 0.3))
        return None

    async def read(self, through: "Host | None" = None) -> bool:
        """One linearizable read; whether it was answered."""
        host = through or self._some_host()
        if host is None or host.log is None:
            return False
        key, called = self.chance.choice(KEYS), self._now()
        begun = self.world.invariants.witness.begin(f"a read through {host.name}")
        seen = await self._answer_of(host, partial(host.read, key))
        if seen is None:
            return False
        index, value = seen
        self.counts.reads += 1
        self.world.trace(f"read through {host.name} at {index}")
        self._judge(self.world.invariants.witness.end(begun, index, is_read=True))
        self._note(key, Read(value=value), called, self._now())
        return True

    def check_history(self) -> None:
        """What all clients saw, by a search that knows nothing of the log: in doubt it passes."""
        verdict = check(self.history, steps_max=STEPS_MAX)
        if verdict.outcome is Outcome.NOT_LINEARIZABLE:
            self.world.invariants.wrong(str(verdict))

    def _note(self, key: str, action: Action, called: float, returned: float | None) -> None:
        self.history.append(
            Operation(client="any", key=key, action=action, called=called, returned=returned)
        )

    def _now(self) -> float:
        return self.world.loop.time()

    async def _answer_of(self, host: "Host", ask: Ask) -> Any | None:
        """What the member answers in time; None: nothing, and the outcome is unknown."""
        process = host.process
        if process is None:
            return None
        task = process.spawn(_refusals_told(ask))
        await asyncio.wait({task}, timeout=self.chance.uniform(*self.patience_seconds))
        if not task.done() and (self.is_faithful or self.chance.random() < 0.5):
            process.run(task.cancel)  # else it goes on, and its answer comes to nobody
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

    def _draw_write(self, number: int) -> "_Write":
        key, value = self.chance.choice(KEYS), f"value{number}"
        room = b" " * (self.chance.randrange(LARGE_BYTES_MAX) if self.chance.random() < 0.05 else 0)
        if self.chance.random() < 0.5:
            entry = pack_set(key, value) + room
            return _Write(number, key, entry, Write(value=value), expected=None)
        expected = self.world.last_seen(key)
        entry = pack_compare_and_set(key, expected, value) + room
        return _Write(number, key, entry, Swap(expected=expected, value=value), expected=expected)

    def _judge(self, wrong: str | None) -> None:
        if wrong is not None:
            self.world.invariants.wrong(f"not linearizable: {wrong}")


async def _refusals_told(ask: Ask) -> Any:
    """A refusal as a value."""
    try:
        return await ask()
    except UnavailableError as error:
        return error
