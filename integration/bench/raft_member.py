"""One member of the replicated log as a process: it is told what to do by lines of JSON, and answers in the same way.

    python -m integration.bench.raft_member DIRECTORY NUMBER

Journal with fsync, links with TLS, the loop and the garbage collector as in swarmd; no API and no store above, unless
a store is asked for: then entries are what a manager's store makes of them.
"""

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import uvloop

from common.clock import SystemClock
from common.codec import encode
from common.errors import UnavailableError
from common.garbage import walk_old_objects_rarely
from common.ids import id_source
from common.model.container_spec import ContainerSpec
from common.model.service import Service, ServiceSpec
from common.model.task import TaskSpec
from integration.bench.raft_links import listening_links, peer
from manager.raft.log import REQUEST_ID_BYTES
from manager.raft.peers import RaftStatus
from manager.raft.replicated_log import ReplicatedLog
from manager.raft.storage import Storage
from manager.raft.surroundings import Surroundings
from manager.store.changes import Change, Create, Update
from manager.store.replica import Replica
from manager.store.store import Store

COMMAND_LINE_BYTES_MAX = 1 << 20
RETRY_SECONDS = 0.005


class Counter:
    """A state machine that only counts, so that nothing but the log is measured."""

    def __init__(self) -> None:
        self.entries = 0

    def apply(self, _index: int, _request_id: bytes, _entry: bytes) -> bytes:
        self.entries += 1
        return b""

    def snapshot(self) -> Iterator[bytes]:
        return iter([str(self.entries).encode()])

    def restore(self, parts: Iterable[bytes]) -> Callable[[], None]:
        entries = int(b"".join(parts))

        def become() -> None:
            self.entries = entries

        return become


class Member:
    """Does what it is told."""

    def __init__(self, directory: Path, number: int, *, with_store: bool) -> None:
        self._number = number
        self._chance = random.Random(os.urandom(8))
        self._clock = SystemClock()
        self._replica = Replica() if with_store else None
        self._counter = Counter()
        self._directory = directory
        self.log: ReplicatedLog

    async def serve(self, lines: asyncio.StreamReader, *, bootstrap: bool) -> None:
        """Takes part until the lines end."""
        async with listening_links(
            self._directory, self._number, self._status, self._clock
        ) as links:
            around = Surroundings(
                me=peer(self._number),
                machine=self._replica or self._counter,
                links=links,
                clock=self._clock,
                chance=self._chance,
            )
            self.log = ReplicatedLog(Storage.at(self._directory / f"raft{self._number}"), around)
            await self.log.start(bootstrap=bootstrap)
            say({"up": True})
            while line := await lines.readline():
                name, *arguments = json.loads(line)
                say(await getattr(self, f"do_{name}")(*arguments))
            await self.log.stop()

    def _status(self) -> RaftStatus:
        return self.log.status()

    # ---------------------------------------------------------------------------- what it is told

    async def do_status(self) -> dict[str, Any]:
        """How it stands."""
        status = self.log.status()
        return {
            "leads": status.is_leader,
            "applied": status.applied,
            "members": len(status.members),
            "cpu": time.process_time(),
        }

    async def do_add(self, number: int) -> dict[str, Any]:
        """Adds a member."""
        await self.log.add(peer(number))
        return {}

    async def do_write(self) -> dict[str, Any]:
        """Writes one entry as soon as that is possible; tells the moment when it was done."""
        while True:
            try:
                await self.log.propose(b"x", self._chance.randbytes(REQUEST_ID_BYTES))
            except UnavailableError:
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return {"at": time.monotonic()}

    async def do_bench(self, in_flight: int, seconds: float, size: int) -> dict[str, Any]:
        """Entries of ``size`` bytes, so many at a time."""
        entry = os.urandom(size)

        async def write() -> None:
            await self.log.propose(entry, self._chance.randbytes(REQUEST_ID_BYTES))

        return await self._measure(in_flight, seconds, write)

    async def do_bench_store(self, in_flight: int, seconds: float, batch: int) -> dict[str, Any]:
        """Entries of ``batch`` changes of services, through a store."""
        assert self._replica is not None
        store = Store(self._replica, self.log, self._clock, self._chance)
        new_id = id_source(self._chance)
        groups = [[service(new_id()) for _ in range(batch)] for _ in range(in_flight)]
        for group in groups:
            await store.propose([Create(object=one) for one in group])
        free = [[one.id for one in group] for group in groups]

        async def write() -> None:
            ids = free.pop()
            changes: list[Change] = [Update(object=store.state.services[one]) for one in ids]
            await store.propose(changes)
            free.append(ids)

        return await self._measure(in_flight, seconds, write) | {
            "bytes": len(encode(service(new_id())))
        }

    async def _measure(
        self, in_flight: int, seconds: float, write: Callable[[], Awaitable[None]]
    ) -> dict[str, Any]:
        took: list[float] = []
        began = time.perf_counter()
        end = began + seconds

        async def go_on() -> None:
            while (before := time.perf_counter()) < end:
                await write()
                took.append(time.perf_counter() - before)

        async with asyncio.TaskGroup() as group:
            for _ in range(in_flight):
                group.create_task(go_on())
        elapsed = time.perf_counter() - began
        took.sort()
        return {
            "rate": len(took) / elapsed,
            "p50": 1000 * took[len(took) // 2],
            "p99": 1000 * took[int(len(took) * 0.99)],
        }


def service(id_: str) -> Service:
    """An object of about 250 bytes."""
    container = ContainerSpec(image="registry.example/team/application:1", env=("A=1", "B=2"))
    return Service(
        id=id_,
        spec=ServiceSpec(name=f"service-{id_}", task_template=TaskSpec(container_spec=container)),
    )


def say(answer: dict[str, Any]) -> None:
    """Answers."""
    os.write(1, json.dumps(answer).encode() + b"\n")


async def main(directory: Path, number: int, mode: str) -> None:
    """Takes part until standard input ends. ``mode``: "log" or "store", and "+bootstrap" behind it or not."""
    lines = asyncio.StreamReader(limit=COMMAND_LINE_BYTES_MAX)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    member = Member(directory, number, with_store=mode.startswith("store"))
    await member.serve(lines, bootstrap=mode.endswith("+bootstrap"))


if __name__ == "__main__":
    walk_old_objects_rarely()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
