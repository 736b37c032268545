"""The client against a supervisor of a few lines; the real one is tested in integration/test_runtime.py."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from common.errors import ConflictError, InvalidInputError, NotFoundError, SystemFailureError
from tests.support.fake_clock import settle
from worker.runtime import wire
from worker.runtime.bundle import Exit
from worker.runtime.client import CLEANUP_SECONDS, RuntimeClient
from worker.runtime.supervision import code_stamp

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the client speaks to root's socket only")

PARENT = "/swarmd-test"
HELLO = {"protocol": wire.PROTOCOL, "stamp": code_stamp(), "parent": PARENT}
Answer = Callable[[str, Any], tuple[str, object] | None]


class Ticking:
    """A clock on which every sleep is over at once."""

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds
        await asyncio.sleep(0)


@pytest.fixture
def root() -> Iterator[Path]:
    """Short: the path of a unix socket has a limit."""
    path = Path(tempfile.mkdtemp(prefix="rt-"))
    yield path
    shutil.rmtree(path)


@asynccontextmanager
async def supervised(root: Path, answer: Answer) -> AsyncIterator[RuntimeClient]:
    """A client of a supervisor that answers like this; None ends the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = wire.FrameReader()
        while piece := await reader.read(65536):
            for value in frames.feed(piece):
                assert isinstance(value, tuple)
                number, verb, arguments = value
                reply = ("ok", HELLO) if verb == wire.HELLO else answer(verb, arguments)
                if reply is None:
                    writer.close()
                    return
                writer.write(wire.encode_frame((number, *reply)))
        writer.close()

    server = await asyncio.start_unix_server(serve, root / wire.SOCKET)
    client = RuntimeClient(root, PARENT, clock=Ticking())
    try:
        yield client
    finally:
        await client.close()
        await settle()
        server.close()
        await server.wait_closed()


REFUSALS = {
    "invalid": InvalidInputError,
    "conflict": ConflictError,
    "not found": NotFoundError,
    "system": SystemFailureError,
    "a kind of tomorrow": SystemFailureError,
}


@pytest.mark.parametrize(("kind", "error"), REFUSALS.items(), ids=REFUSALS)
async def test_refusals_become_errors(root: Path, kind: str, error: type[Exception]) -> None:
    async with supervised(root, lambda *_: (kind, "the reason")) as client:
        with pytest.raises(error, match="the reason"):
            await client.kill("a")


async def test_waits_on_when_the_supervisor_is_lost(root: Path) -> None:
    times = iter([None, None, ("ok", (3, False, 1.5))])
    async with supervised(root, lambda *_: next(times)) as client:
        assert await client.wait("a") == Exit(id="a", code=3, oom_killed=False, at=1.5)


async def test_cleanup_tries_while_the_kernel_is_busy(root: Path) -> None:
    times = iter([("unavailable", "busy"), ("unavailable", "busy"), ("ok", None)])
    async with supervised(root, lambda *_: next(times)) as client:
        await client.cleanup("a")


async def test_cleanup_gives_up_in_the_end(root: Path) -> None:
    asked: list[str] = []

    def answer(verb: str, _: object) -> tuple[str, object]:
        asked.append(verb)
        return ("unavailable", "busy")

    async with supervised(root, answer) as client:
        with pytest.raises(SystemFailureError, match="busy"):
            await client.cleanup("a")
    assert len(asked) > CLEANUP_SECONDS


async def test_pause_asks_until_all_stand_still(root: Path) -> None:
    times = iter([False, False, True])
    async with supervised(root, lambda *_: ("ok", next(times))) as client:
        await client.pause("a")
    assert list(times) == []


async def test_what_does_not_stand_still_goes_on(root: Path) -> None:
    asked: list[str] = []

    def answer(verb: str, _: object) -> tuple[str, object]:
        asked.append(verb)
        return ("ok", False)

    async with supervised(root, answer) as client:
        with pytest.raises(SystemFailureError, match="do not stand still"):
            await client.pause("a")
    assert asked[-1] == wire.RESUME
    assert set(asked[:-1]) == {wire.PAUSE}


@pytest.mark.parametrize("name", ["../etc", "", "a/b", ".hidden"])
async def test_ids_that_lead_elsewhere_never_leave(root: Path, name: str) -> None:
    async with supervised(root, lambda *_: pytest.fail("it was asked")) as client:
        with pytest.raises(InvalidInputError):
            await client.wait(name)
        with pytest.raises(InvalidInputError):
            await client.cleanup(name)


async def test_what_is_no_answer_is_an_error(root: Path) -> None:
    async with supervised(root, lambda *_: ("ok", "nonsense")) as client:
        with pytest.raises(SystemFailureError):
            await client.wait("a")
        with pytest.raises(SystemFailureError):
            await client.running()


async def test_shutdown_without_a_supervisor_is_done(root: Path) -> None:
    client = RuntimeClient(root / "none", PARENT)
    await client.shutdown()
    assert not (root / "none").exists()
