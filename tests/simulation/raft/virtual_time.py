"""An asyncio event loop in virtual time, for many processes in one, each of which can be stopped or killed.

The code under test runs on it unchanged: tasks, timers, futures, ``asyncio.to_thread``. When nothing is ready, the
clock jumps to the next timer. What is ready at the same moment runs in the order in which it was scheduled, so a run
depends on nothing but its seed.

A ``Process`` is what a callback belongs to: whatever is scheduled while it runs inherits it through the context.
Killing a process means that nothing of it runs any more, not even its ``finally``; stopping it (SIGSTOP, or a thread
that waits for its disk) keeps what becomes due until it goes on, and then its timers are late.
"""

import asyncio
import contextvars
import heapq
import logging
import random
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from typing_extensions import override

_T = TypeVar("_T")

STEP_SECONDS = 2e-6
"""How long any callback takes."""
SLOW_LOOKS, SLOW_LOOK_SECONDS_MAX = 0.02, 0.008
"""How often the code is so busy that time passes between two looks at the clock, and how much."""
CALLBACKS_PER_SECOND_MAX = 150_000
"""More callbacks within one virtual second mean that somebody spins."""
START_SECONDS = 1000.0

_PROCESS: contextvars.ContextVar["Process | None"] = contextvars.ContextVar("process", default=None)


class SimulationError(AssertionError):
    """What a run must never show: an invariant does not hold, an exception nobody handled, a loop that spins."""


class Killed(BaseException):
    """Raised through the code of a process that dies at this very point; nothing catches it but the loop."""


class Process:
    """Who runs: one life of a member, from its start to its end."""

    def __init__(self, loop: "VirtualLoop", name: str) -> None:
        self._loop, self.name = loop, name
        self.is_dead = False
        self.goes_on_at = 0.0
        self.in_thread = False
        self.slowness = 1.0
        """How much longer everything takes that waits for its disk."""
        self.context = contextvars.copy_context()
        self.context.run(_PROCESS.set, self)
        self._kept: deque[asyncio.Handle] = deque()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def is_stopped(self) -> bool:
        """Whether it waits: stopped, or busy with a call that blocks."""
        return self._loop.time() < self.goes_on_at

    def run(self, function: Callable[..., _T], *arguments: Any) -> _T:
        """Calls something as this process, whoever calls."""
        return self.context.copy().run(function, *arguments)

    def spawn(self, work: Coroutine[Any, Any, _T]) -> "asyncio.Task[_T]":
        """Starts a task of this process."""
        task: asyncio.Task[_T] = self.run(self._loop.create_task, work)
        return task

    def stop_for(self, seconds: float) -> None:
        """Nothing of it runs for a while; what becomes due waits."""
        already = self.is_stopped
        self.goes_on_at = max(self.goes_on_at, self._loop.time() + seconds)
        if not already:
            self._loop.at(self.goes_on_at, self._go_on)

    def kill(self) -> None:
        """Nothing of it ever runs again."""
        self.is_dead = True
        self._kept.clear()

    def keep(self, handle: asyncio.Handle) -> None:
        """Puts aside what became due while it is stopped."""
        self._kept.append(handle)

    def owns(self, task: "asyncio.Task[Any]") -> None:
        """Holds on to a task: one that is collected as garbage would run its ``finally``."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard, context=_NOBODY)

    def bury(self) -> None:
        """After the run: lets go of what it left behind, whatever that says."""
        for task in self._tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            try:
                task.get_coro().close()
            except BaseException:  # noqa: BLE001 - the dead may say what they like
                continue
        self._tasks.clear()

    def _go_on(self) -> None:
        if self.is_stopped:
            self._loop.at(self.goes_on_at, self._go_on)
            return
        self._loop.again(self._kept)
        self._kept = deque()


_NOBODY = contextvars.Context()


def current_process() -> Process | None:
    """Whose callback runs now."""
    return _PROCESS.get()


_AnyLoop: Any = asyncio.AbstractEventLoop
"""Sockets, signals and subprocesses are left out: who asks for one fails."""


class VirtualLoop(_AnyLoop):  # type: ignore[misc] # a base of type Any: abstract methods stay so
    """The loop. ``run`` until a moment, or until a failure was recorded."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._now = START_SECONDS
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._scheduled = 0
        self._second, self._callbacks_in_second = 0, 0
        self.callbacks = 0
        self.failure: BaseException | None = None
        self.thread_seconds: Callable[[], float] = self._some_thread_seconds
        """How long a function given to a thread takes."""
        self._processes: list[Process] = []

    # ------------------------------------------------------------------------------------- driving

    def process(self, name: str) -> Process:
        """A new process."""
        process = Process(self, name)
        self._processes.append(process)
        return process

    def run(self, until: float) -> None:
        """Runs everything due before ``until``; the clock stands there afterwards.

        Raises:
            SimulationError: something failed.
        """
        asyncio._set_running_loop(self)
        try:
            while self.failure is None and self._next(until):
                pass
        finally:
            asyncio._set_running_loop(None)
        if self.failure is not None:
            raise SimulationError(str(self.failure)) from self.failure
        self._now = max(self._now, until)

    def bury(self) -> None:
        """After the run: lets go of all that is left."""
        asyncio._set_running_loop(self)
        logger = logging.getLogger("asyncio")
        was, logger.disabled = logger.disabled, True
        try:
            for process in self._processes:
                process.is_dead = True
                process.bury()
        finally:
            logger.disabled = was
            self._ready.clear()
            self._timers.clear()
            asyncio._set_running_loop(None)

    def fail(self, failure: BaseException) -> None:
        """Ends the run with the first failure, however much the code around swallows."""
        if self.failure is None:
            self.failure = failure

    def again(self, handles: deque[asyncio.Handle]) -> None:
        """Takes up what was put aside: messages first, or timers first."""
        self._ready.extend(handles)

    def at(self, when: float, callback: Callable[..., object], *arguments: Any) -> None:
        """Calls something that belongs to no process."""
        self.call_at(when, callback, *arguments, context=_NOBODY.copy())

    def _next(self, until: float) -> bool:
        if not self._ready:
            while self._timers and self._timers[0][2].cancelled():
                heapq.heappop(self._timers)
            if not self._timers or self._timers[0][0] >= until:
                return False
            self._now = max(self._now, self._timers[0][0])
        elif self._now >= until:
            return False
        while self._timers and self._timers[0][0] <= self._now:
            self._ready.append(heapq.heappop(self._timers)[2])
        handle = self._ready.popleft()
        if not handle.cancelled():
            self._run(handle)
        return True

    def _run(self, handle: asyncio.Handle) -> None:
        process: Process | None = handle._context.get(_PROCESS)  # type: ignore[attr-defined]
        if process is not None:
            if process.is_dead:
                return
            if self._now < process.goes_on_at:
                process.keep(handle)
                return
        self._count()
        try:
            handle._context.run(handle._callback, *handle._args)  # type: ignore[attr-defined]
        except Killed:
            if process is not None:
                process.kill()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it is, the run has failed
            self.fail(error)
        self._now += STEP_SECONDS

    def spend(self, seconds: float) -> None:
        """Time passes within a callback."""
        self._now += seconds

    def _some_thread_seconds(self) -> float:
        process = _PROCESS.get()
        slowness = process.slowness if process is not None else 1.0
        return slowness * self._chance.choice((0.0005, 0.002, 0.01, 0.1))

    def _count(self) -> None:
        self.callbacks += 1
        if int(self._now) != self._second:
            self._second, self._callbacks_in_second = int(self._now), 0
        self._callbacks_in_second += 1
        if self._callbacks_in_second > CALLBACKS_PER_SECOND_MAX:
            self.fail(
                SimulationError(f"more than {CALLBACKS_PER_SECOND_MAX} callbacks in one second")
            )

    # --------------------------------------------------------------------------- what asyncio asks for

    @override
    def time(self) -> float:
        return self._now

    @override
    def get_debug(self) -> bool:
        return False

    @override
    def is_running(self) -> bool:
        return True

    @override
    def is_closed(self) -> bool:
        return False

    @override
    def call_soon(
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    @override
    def call_soon_threadsafe(
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    @override
    def call_later(
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    @override
    def call_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._scheduled += 1
        heapq.heappush(self._timers, (when, self._scheduled, handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Asked by ``TimerHandle``; those cancelled are skipped when due."""

    @override
    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    @override
    def create_task(
        self,
        coro: Generator[Any, None, _T] | Coroutine[Any, Any, _T],
        *,
        name: object = None,
        context: contextvars.Context | None = None,
    ) -> "asyncio.Task[_T]":
        task: asyncio.Task[_T] = asyncio.Task(coro, loop=self, name=str(name), context=context)
        process = _PROCESS.get() if context is None else context.get(_PROCESS)
        if process is not None:
            process.owns(task)
        return task

    @override
    def run_in_executor(
        self, executor: object, func: Callable[..., _T], *args: Any
    ) -> "asyncio.Future[_T]":
        return asyncio.wrap_future(self.in_thread(func, *args), loop=self)

    @override
    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception") or SimulationError(str(context.get("message")))
        self.fail(error)

    # ------------------------------------------------------------------------------------- threads

    def in_thread(self, function: Callable[..., _T], *arguments: Any) -> "Future[_T]":
        """Calls a function as a thread would: later, while the process goes on; its end is noticed later still."""
        result: Future[_T] = Future()
        self.call_later(self.thread_seconds(), self._thread, function, arguments, result)
        return result

    def _thread(
        self, function: Callable[..., _T], arguments: tuple[Any, ...], result: "Future[_T]"
    ) -> None:
        with _in_thread(current_process()):
            try:
                value = function(*arguments)
            except Exception as error:  # noqa: BLE001 - handed to who waits
                self.call_later(self.thread_seconds(), result.set_exception, error)
            else:
                self.call_later(self.thread_seconds(), result.set_result, value)


@contextmanager
def _in_thread(process: Process | None) -> Generator[None, None, None]:
    """While it lasts, waiting for the disk does not hold the process's loop."""
    if process is None:
        yield
        return
    was, process.in_thread = process.in_thread, True
    try:
        yield
    finally:
        process.in_thread = was


class VirtualClock:
    """A ``common.clock.Clock`` on the loop. Time passes now and then while the code looks at it: so turns grow long."""

    def __init__(self, loop: VirtualLoop, chance: random.Random) -> None:
        self._loop, self._chance = loop, chance

    def now(self) -> float:
        return 1_700_000_000.0 + self._loop.time()

    def monotonic(self) -> float:
        if self._chance.random() < SLOW_LOOKS:
            self._loop.spend(self._chance.uniform(0.0, SLOW_LOOK_SECONDS_MAX))
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SimulatedWorker:
    """The one thread a member writes with, a ``manager.raft.worker.Worker``: one function after another."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._free_at = 0.0
        self._waiting: deque[Callable[[], None]] = deque()

    def submit(self, work: Callable[[], _T], /) -> "Future[_T]":
        """Calls it once everything before it has ended; that it has is noticed later still."""
        result: Future[_T] = Future()
        starts = max(self._free_at, self._loop.time()) + self._loop.thread_seconds()
        self._free_at = starts + self._loop.thread_seconds()
        self._waiting.append(partial(self._do, work, result, self._free_at))
        self._loop.call_at(starts, self._next)
        return result

    def stop(self) -> None:
        """Does at once what was submitted."""
        while self._waiting:
            self._next()

    def _next(self) -> None:
        if self._waiting:
            self._waiting.popleft()()

    def _do(self, work: Callable[[], _T], result: "Future[_T]", ends: float) -> None:
        with _in_thread(current_process()):
            try:
                value = work()
            except Exception as error:  # noqa: BLE001 - handed to who waits
                self._loop.call_at(ends, result.set_exception, error)
            else:
                self._loop.call_at(ends, result.set_result, value)
