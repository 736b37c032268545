"""Clients of all managers that read and compare-and-set, write down what they saw, and never guess.

A register is the label ``value`` of a service without replicas: a read is ``GET /services/ID``, a compare-and-set is
``POST /services/ID/update`` with the version that was read. Each value is written once only; its front part counts
the writes of its register, so that a lost or doubled one shows in the number alone.

A write counts as not done only when the answer says so: "update out of sequence", no leader, or a connection that was
never made. Everything else that is no success may have been done, and is kept as unknown.
"""

import asyncio
import contextlib
import functools
import json
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from typing_extensions import override

from cli.swarmctl.client import ApiError
from integration.history import Pending, Recorder, acknowledged, read_history
from integration.host import Host, wait_for
from integration.linearizability import Operation, Read, Swap, check

HISTORIES = Path(tempfile.gettempdir()) / "swarmd-histories"
"""Where tests keep their histories; one of an earlier run is written over."""
LABEL = "value"
NOTHING_WRITTEN = "0"
NO_LEADER = "The swarm does not have a leader"
OUT_OF_SEQUENCE = "update out of sequence"
ANSWER_SECONDS_MAX = 4.0
PAUSE_AFTER_FAILURE_SECONDS = 0.05
POLL_SECONDS = 0.01
OUT_OF_SERVICE = (aiohttp.ClientConnectorError, FileNotFoundError, ConnectionRefusedError)
"""There was nobody to send a request to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How hard the clients try."""

    clients: int = 6
    writes_share: float = 0.5
    """How many of the reads are followed by a write."""
    pause_seconds: float = 0.01
    """Between two operations of a client, so that what is tested gets the processor."""
    padding_bytes: int = 0
    """How much more goes into each write."""


class Registers:
    """The registers of a swarm: services by name, known to every client."""

    def __init__(self, ids: Mapping[str, str]) -> None:
        self.ids = dict(ids)

    @classmethod
    def make(cls, host: Host, names: Sequence[str]) -> "Registers":
        """Creates them through one manager."""
        return cls(
            {name: host.engine.post("/services/create", _spec(name))["ID"] for name in names}
        )


def _spec(name: str) -> dict[str, Any]:
    return {
        "Name": name,
        "Labels": {LABEL: NOTHING_WRITTEN},
        "Mode": {"Replicated": {"Replicas": 0}},
        "TaskTemplate": {"ContainerSpec": {"Image": "none"}},
    }


class Manager:
    """One manager's API, for clients in one event loop."""

    def __init__(self, name: str, socket: str) -> None:
        self.name = name
        self._session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(socket.removeprefix("unix://"), limit=0),
            timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX),
        )

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and JSON of an answer."""
        async with self._session.request(method, f"http://swarm{path}", json=body) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text.strip() else None

    async def close(self) -> None:
        """Closes its connections."""
        await self._session.close()


class _Client:
    """Reads and writes, one after the other."""

    def __init__(
        self,
        name: str,
        reads_at: Manager,
        writes_at: Manager,
        registers: Registers,
        recorder: Recorder,
    ) -> None:
        """Always at the same managers, so that not everyone ends up waiting for one that does not answer."""
        self._name, self._reads_at, self._writes_at = name, reads_at, writes_at
        self._registers, self._recorder = registers, recorder
        self._chance = random.Random(name)
        self._written = 0

    async def run(self, settings: Settings, is_over: Callable[[], bool]) -> None:
        """Goes on until told to end."""
        while not is_over():
            key = self._chance.choice(sorted(self._registers.ids))
            seen = await self._read(self._reads_at, key)
            if seen is None:
                await asyncio.sleep(PAUSE_AFTER_FAILURE_SECONDS)
            elif self._chance.random() < settings.writes_share:
                padding = "x" * settings.padding_bytes
                await self._swap(self._writes_at, key, seen, padding)
            await asyncio.sleep(settings.pause_seconds)

    async def _read(self, manager: Manager, key: str) -> dict[str, Any] | None:
        pending = self._recorder.begin(self._name, key, Read)
        try:
            status, seen = await manager.ask("GET", f"/services/{self._registers.ids[key]}")
        except (aiohttp.ClientError, OSError) as error:
            pending.nothing(f"{manager.name}: {error!r}")
            return None
        if status != 200:
            pending.nothing(f"{manager.name}: {status} {seen}")
            return None
        pending.done(value=value_of(seen))
        return dict(seen)

    async def _swap(self, manager: Manager, key: str, seen: dict[str, Any], padding: str) -> None:
        self._written += 1
        before = value_of(seen)
        count = int(before.partition(" ")[0])
        after = f"{count + 1} {self._name}-{self._written}"
        spec = seen["Spec"] | {"Labels": {LABEL: after, "padding": padding}}
        path = f"/services/{seen['ID']}/update?version={seen['Version']['Index']}"
        pending = self._recorder.begin(self._name, key, Swap(expected=before, value=after))
        try:
            status, answer = await manager.ask("POST", path, spec)
        except OUT_OF_SERVICE as error:
            pending.nothing(f"{manager.name}: {error!r}")
        except (aiohttp.ClientError, OSError) as error:
            pending.unknown(f"{manager.name}: {error!r}")
        else:
            _conclude(pending, status, f"{manager.name}: {status} {answer}")


def _conclude(pending: Pending, status: int, why: str) -> None:
    if status == 200:
        pending.done()
    elif NO_LEADER in why or OUT_OF_SEQUENCE in why or 400 <= status < 500:
        pending.nothing(why)
    else:
        pending.unknown(why)


def value_of(service: Mapping[str, Any]) -> str:
    """What a register holds."""
    return str(service["Spec"]["Labels"][LABEL])


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was in a history that is as it should be."""

    writes: int
    """Acknowledged."""
    unknown: int
    reads: int

    @override
    def __str__(self) -> str:
        return f"{self.writes} writes acknowledged, {self.unknown} unknown, {self.reads} reads"


class Workload:
    """Clients in a thread of their own, for as long as ``running`` lasts; then what became of it."""

    def __init__(self, hosts: Mapping[str, Host], registers: Registers, path: Path) -> None:
        self._sockets = {name: host.socket for name, host in hosts.items()}
        self.registers, self.path = registers, path
        self._writes: list[tuple[float, float]] = []

    @contextlib.contextmanager
    def running(self, seed: int, settings: Settings | None = None) -> Iterator[None]:
        """The clients are at work; the file grows."""
        over = threading.Event()
        with Recorder(self.path) as recorder:
            self._writes = recorder.writes
            failures: list[BaseException] = []

            def run() -> None:
                try:
                    asyncio.run(self._run(recorder, over, seed, settings or Settings()))
                except BaseException as error:  # noqa: BLE001 - raised again in the test's thread
                    failures.append(error)

            thread = threading.Thread(target=run, name="workload")
            thread.start()
            try:
                yield
            finally:
                over.set()
                thread.join()
        if failures:
            raise failures[0]

    async def _run(
        self, recorder: Recorder, over: threading.Event, seed: int, settings: Settings
    ) -> None:
        managers = [Manager(name, socket) for name, socket in self._sockets.items()]
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(settings.clients):
                    client = _Client(
                        f"{seed}.{number}",
                        managers[number % len(managers)],
                        managers[(2 * number + 1) % len(managers)],
                        self.registers,
                        recorder,
                    )
                    group.create_task(client.run(settings, over.is_set))
        finally:
            for manager in managers:
                await manager.close()

    # ------------------------------------------------------------------------- what became of it

    def first_write_after(self, moment: float, seconds: float) -> float:
        """Waits until a write is acknowledged that was begun after a moment; gives how long after it that was."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for called, returned in list(self._writes):
                if called >= moment:
                    return returned - moment
            time.sleep(POLL_SECONDS)
        raise AssertionError(f"no write was acknowledged within {seconds} s; see {self.path}")

    def verify(
        self, hosts: Mapping[str, Host], initial: Mapping[str, str] | None = None
    ) -> "Found":
        """Reads every register on every host, and holds all against the history.

        ``initial``: what the registers held before, when they were not new.
        """
        history = read_history(self.path)
        finals = self._final_reads(hosts)
        for key in self.registers.ids:
            before = NOTHING_WRITTEN if initial is None else initial[key]
            ours = [one for one in (*history, *finals) if one.key == key]
            self._verify_register(key, before, ours)
        done = acknowledged(history)
        unknown = sum(one.returned is None for one in history)
        reads = len(history) - len(done) - unknown
        return Found(writes=len(done), unknown=unknown, reads=reads)

    def until_all_answer(self, hosts: Mapping[str, Host]) -> None:
        """Waits until each manager can say for sure what every register holds."""

        for host in hosts.values():
            self.held(host)

    def held(self, host: Host) -> dict[str, str]:
        """What the registers hold; waits until the manager can say that for sure."""
        return wait_for(f"{host.name} to answer for sure", functools.partial(self._held, host))

    def _held(self, host: Host) -> dict[str, str]:
        """Nothing while it cannot say."""
        with contextlib.suppress(ApiError):
            return self._ask(host)
        return {}

    def _ask(self, host: Host) -> dict[str, str]:
        services = {key: host.engine.get(f"/services/{id_}") for key, id_ in self.registers.ids.items()}  # fmt: skip
        return {key: value_of(service) for key, service in services.items()}

    def _final_reads(self, hosts: Mapping[str, Host]) -> list[Operation]:
        reads = []
        for name, host in hosts.items():
            called = time.monotonic()
            held = self.held(host)
            reads += [
                Operation(
                    client=f"at the end, {name}", key=key, action=Read(value=value),
                    called=called, returned=time.monotonic(),
                )
                for key, value in held.items()
            ]  # fmt: skip
        return reads

    def _verify_register(self, key: str, before: str, history: Sequence[Operation]) -> None:
        last = history[-1].action
        assert isinstance(last, Read)
        grown = _count(str(last.value)) - _count(before)
        done = len(acknowledged(history))
        unknown = sum(one.returned is None for one in history)
        assert done <= grown <= done + unknown, (
            f"{key} grew by {grown}, but {done} writes were acknowledged and {unknown} are unknown; "
            f"history: {self.path}"
        )
        verdict = check(history, before)
        assert verdict, f"{verdict}\nhistory: {self.path}"


def _count(value: str) -> int:
    return int(value.partition(" ")[0])
