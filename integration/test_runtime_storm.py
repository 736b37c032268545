"""Everything at once, by chance: containers that come and go under those who attach, type, resize, leave and vanish.

What must hold whatever happens: the supervisor makes no error, nobody waits for ever, and nothing is left.
"""

import asyncio
import contextlib
import os
import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from common.errors import InvalidInputError, NotFoundError, SwarmdError, UnavailableError
from integration.runtime_world import BUSYBOX, World
from worker.containers.ports import Streams
from worker.runtime.bundle import FurtherProcess, LogOptions

pytestmark = pytest.mark.skipif(not BUSYBOX.exists(), reason="needs busybox-static")

SECONDS = 5.0
CONTAINERS = 5
VISITORS = 10
EXPECTED = (InvalidInputError, NotFoundError, UnavailableError)
SCRIPTS = (
    "cat",
    "yes abc | head -c 300000; cat",
    "echo hi; exit 3",
    "sleep 0.2",
    "exec >/dev/null 2>&1; sleep 0.3",
)
FURTHER = (("cat",), ("sh", "-c", "yes | head -c 200000"), ("sleep", "0.3"), ("nonesuch",))


@dataclass
class Storm:
    """What happens, by a seed; how long it lasts."""

    world: World
    chance: random.Random
    until: float
    done: dict[str, int] = field(default_factory=dict)

    @property
    def lasts(self) -> bool:
        return asyncio.get_running_loop().time() < self.until

    def often(self, share: float) -> bool:
        return self.chance.random() < share

    def count(self, what: str) -> None:
        self.done[what] = self.done.get(what, 0) + 1

    # -- containers ----------------------------------------------------------------------------

    async def live(self, name: str) -> None:
        while self.lasts:
            first = None
            if self.often(0.6):
                deaf = self.often(0.2)
                first = await self.world.client.attach(
                    name, before_start=True, with_output=not deaf
                )
            await self.run(name)
            if first is not None:
                async with asyncio.timeout(20):  # Attached from the start, it is told the end.
                    while await first.read():
                        pass
                first.close()

    async def run(self, name: str) -> None:
        client = self.world.client
        argv = ("sh", "-c", self.chance.choice(SCRIPTS)) if self.often(0.85) else ("nonesuch",)
        log = str(self.world.root / name / "log") if self.often(0.7) else ""
        bundle = self.world.bundle(
            name,
            *argv,
            tty=self.often(0.4),
            open_stdin=self.often(0.7),
            stdin_once=self.often(0.5),
            log=LogOptions(path=log, max_bytes=100_000, max_files=2),
        )
        try:
            await client.start(bundle)
        except InvalidInputError:
            self.count("no such program")
            return
        await asyncio.sleep(self.chance.random() * 0.5)
        await client.kill(name)
        await client.wait(name)
        await client.cleanup(name)
        self.count("container")

    # -- visitors ------------------------------------------------------------------------------

    async def visit(self) -> None:
        while self.lasts:
            name = f"c{self.chance.randrange(CONTAINERS)}"
            try:
                await (self.attach(name) if self.often(0.5) else self.spawn(name))
            except EXPECTED:
                self.count("refused")
            await asyncio.sleep(self.chance.random() * 0.02)

    async def attach(self, name: str) -> None:
        streams = await self.world.client.attach(name, before_start=self.often(0.1))
        await self.talk(streams)
        if self.often(0.5):
            streams._abort()  # As if it was killed.
        streams.close()
        self.count("attached")

    async def spawn(self, name: str) -> None:
        process = FurtherProcess(
            argv=self.chance.choice(FURTHER),
            tty=self.often(0.4),
            open_stdin=self.often(0.5),
            detached=self.often(0.2),
        )
        spawned = await self.world.client.spawn(name, process)
        await self.talk(spawned.streams)
        spawned.streams.close()
        if self.often(0.3):
            spawned.close()
        else:
            with contextlib.suppress(TimeoutError, UnavailableError):
                async with asyncio.timeout(self.chance.random()):
                    await spawned.wait()
        self.count("spawned")

    async def talk(self, streams: Streams) -> None:
        with contextlib.suppress(TimeoutError, UnavailableError):
            async with asyncio.timeout(self.chance.random() * 0.5):
                if self.often(0.3):
                    await streams.resize(self.chance.randint(1, 99), self.chance.randint(1, 99))
                if self.often(0.5):
                    await streams.write(os.urandom(self.chance.randint(1, 300_000)))
                if self.often(0.4):
                    await streams.close_input()
                while await streams.read():
                    pass


async def test_a_storm_leaves_nothing(world: World) -> None:
    places = [Path(f"/proc/{pid}/fd") for pid in (os.getpid(), world.supervisor())]
    before = [len(list(place.iterdir())) for place in places]
    storm = Storm(world, random.Random(7), asyncio.get_running_loop().time() + SECONDS)
    async with asyncio.TaskGroup() as group:
        for number in range(CONTAINERS):
            group.create_task(storm.live(f"c{number}"))
        for _ in range(VISITORS):
            group.create_task(storm.visit())
    assert min(storm.done.get(what, 0) for what in ("container", "attached", "spawned")) > 3
    for name in {*world.made}:
        with contextlib.suppress(SwarmdError):
            await world.client.wait(name)
    for place, count in zip(places, before, strict=True):
        async with asyncio.timeout(20):
            while len(list(place.iterdir())) > count:
                await asyncio.sleep(0.1)
    assert "Traceback" not in (world.root / "exec/supervisor.log").read_text()
