"""One runner for all loops: look at what changed, decide, propose; refused or late, look again.

Events are only a doorbell. A loop says which keys a change touches; the runner looks at each of those keys as it now
stands, so that a missed or doubled event, a refused proposal and a change of leader all end in the same place.
"""

import asyncio
import logging
from collections.abc import Hashable, Iterable
from typing import Generic, Never, Protocol, TypeVar

from common.clock import Clock
from common.errors import StaleVersionError, SwarmdError
from manager.control.agenda import Agenda
from manager.control.batches import Batch, Batches
from manager.store.state import State
from manager.store.store import Store
from manager.store.verdict import NewId, Verdict
from manager.store.watch import Changed, Watch, WatchLaggedError

TURN_SECONDS = 0.02
"""How long a loop looks at keys before the event loop's other tasks get their turn."""
KEYS_PER_TURN_MAX = 256
CHANGES_PER_TURN_MAX = 2000
"""Changes proposed side by side; the turn ends with the key that reaches it."""
SLEEP_SECONDS_MAX = 10.0
"""The clock that people read may be set: a reminder is never slept through for longer than this."""
IDLE_SECONDS_MIN = 0.01
"""A decision that changes nothing is not asked again sooner than this: a mistake in one must not eat a processor."""
BACKOFF_SECONDS = 0.05
BACKOFF_SECONDS_MAX = 10.0

log = logging.getLogger(__name__)
Key = TypeVar("Key", bound=Hashable)


class Loop(Protocol[Key]):
    """What makes a loop: its keys, and what to do about one of them."""

    name: str
    settle_seconds: float
    """How long changes may gather before it looks; 0: at the next turn of the event loop."""

    def keys(self, state: State) -> Iterable[Key]:
        """Every key that there may be something to do for: asked at the start, and after changes were missed."""
        ...

    def touched(self, state: State, changed: Changed) -> Iterable[Key]:
        """The keys for which this change may matter. Called for every change of the store: cheap."""
        ...

    def consider(self, state: State, key: Key, now: float, new_id: NewId) -> Verdict:
        """Looks at one key and decides; nothing else."""
        ...


async def run_loop(loop: Loop[Key], store: Store, clock: Clock, new_id: NewId) -> Never:
    """Runs a loop as long as this manager leads."""
    runner = _Runner(loop, store, clock, new_id)
    async with store.watch() as watch:
        runner.mark_everything()
        async with asyncio.TaskGroup() as group:
            group.create_task(runner.listen(watch))
            group.create_task(runner.work())
    raise AssertionError("both run until they are cancelled")


class _Runner(Generic[Key]):
    def __init__(self, loop: Loop[Key], store: Store, clock: Clock, new_id: NewId) -> None:
        self._loop, self._store, self._clock, self._new_id = loop, store, clock, new_id
        self._agenda: Agenda[Key] = Agenda()
        self._bell = asyncio.Event()
        self._alone: set[Key] = set()
        """Keys whose last proposal was refused: the next shares its entry with no other key."""
        self._failures: dict[Key, int] = {}

    def mark_everything(self) -> None:
        """Every key is to be looked at."""
        self._agenda.mark(self._loop.keys(self._store.state))
        self._bell.set()

    async def listen(self, watch: Watch) -> Never:
        """Marks what committed changes touch."""
        state = self._store.state
        while True:
            try:
                news = await watch.take()
            except WatchLaggedError:
                log.warning("%s missed changes and looks at everything again", self._loop.name)
                self.mark_everything()
                continue
            ends = self._clock.monotonic() + TURN_SECONDS
            for committed in news:
                for changed in committed.changed:
                    self._agenda.mark(self._loop.touched(state, changed))
                if self._clock.monotonic() >= ends:
                    await asyncio.sleep(0)
                    ends = self._clock.monotonic() + TURN_SECONDS
            if self._agenda.has_dirty:
                self._bell.set()

    async def work(self) -> Never:
        """Looks at dirty keys, turn by turn."""
        while True:
            await self._something_to_do()
            if self._loop.settle_seconds:
                await self._clock.sleep(self._loop.settle_seconds)
            batches = self._turn()
            if batches.full:
                async with asyncio.TaskGroup() as group:
                    for batch in batches.full:
                        group.create_task(self._propose(batch))
                        await asyncio.sleep(
                            0
                        )  # an entry is packed at a time, then others have a turn
            else:
                await asyncio.sleep(0)

    async def _something_to_do(self) -> None:
        while True:
            now = self._clock.now()
            self._agenda.ring(now)
            if self._agenda.has_dirty:
                return
            self._bell.clear()
            due = self._agenda.next_at
            if due is None:
                await self._bell.wait()
                continue
            async with asyncio.TaskGroup() as group:
                alarm = group.create_task(self._ring_after(min(due - now, SLEEP_SECONDS_MAX)))
                await self._bell.wait()
                alarm.cancel()

    async def _ring_after(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._bell.set()

    def _turn(self) -> Batches[Key]:
        batches: Batches[Key] = Batches()
        ends = self._clock.monotonic() + TURN_SECONDS
        for _ in range(KEYS_PER_TURN_MAX):
            if not self._agenda.has_dirty or batches.changes >= CHANGES_PER_TURN_MAX:
                break
            key = self._agenda.pop()
            verdict = self._consider(key)
            if verdict.changes:
                batches.add(key, verdict.changes, alone=key in self._alone)
            self._alone.discard(key)
            if self._clock.monotonic() >= ends:
                break
        return batches

    def _consider(self, key: Key) -> Verdict:
        now = self._clock.now()
        try:
            verdict = self._loop.consider(self._store.state, key, now, self._new_id)
        except Exception:  # one key's trouble must not stop the others
            log.exception("%s cannot decide about %s", self._loop.name, key)
            self._put_off(key)
            return Verdict()
        at = verdict.look_again_at
        if not verdict.changes:
            self._failures.pop(key, None)
            at = None if at is None else max(at, now + IDLE_SECONDS_MIN)
        self._agenda.remind(key, at)
        return verdict

    async def _propose(self, batch: Batch[Key]) -> None:
        try:
            await self._store.propose(batch.changes)
        except StaleVersionError:
            self._alone.update(batch.keys)
            self._agenda.mark(batch.keys)
        except SwarmdError as error:
            log.warning("%s tries again: %s", self._loop.name, error)
            for key in batch.keys:
                self._put_off(key)
            self._alone.update(batch.keys)
        else:
            for key in batch.keys:
                self._failures.pop(key, None)

    def _put_off(self, key: Key) -> None:
        """Looks at the key again after a pause that doubles with every failure in a row."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        pause = min(BACKOFF_SECONDS * 2.0 ** min(failures, 16), BACKOFF_SECONDS_MAX)
        self._agenda.remind(key, self._clock.now() + pause)
