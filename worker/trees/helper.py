"""The helper process that works on one container's tree (``main``), as swarmd speaks with it."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import common.errors
from common.errors import SwarmdError, SystemFailureError
from worker.trees.order import TreeOrder

STALLED_SECONDS_MAX = 300.0
"""How long a helper may say nothing, or take nothing, before it is killed."""
ORDER_BYTES_MAX = 1024 * 1024
_LINE_BYTES_MAX: Final = 64 * 1024
_PIECE_BYTES: Final = 256 * 1024
_PROGRAM = Path(__file__).with_name("main.py")
_FLAGS = ("-E", "-P", "-X", "utf8")


class Helper:
    """A helper that has its order."""

    def __init__(self, process: Process) -> None:
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise SystemFailureError("the helper's streams are not at hand")
        self._process = process
        self._given, self._out, self._errors = process.stdin, process.stdout, process.stderr

    async def order(self, order: TreeOrder) -> None:
        """Says what it is to do."""
        data = order.encode()
        if len(data) > ORDER_BYTES_MAX:
            raise SystemFailureError(f"an order of {len(data)} bytes is more than a helper takes")
        await self._give(len(data).to_bytes(4, "big") + data)

    async def line(self) -> dict[str, Any]:
        """What it says next.

        Raises:
            SwarmdError: it says that it cannot.
        """
        async with _patience():
            line = await self._out.readline()
        if not line.endswith(b"\n"):
            await self._fail()
        said: dict[str, Any] = json.loads(line)
        return said

    async def feed(self, chunks: AsyncIterator[bytes]) -> None:
        """Gives it an archive; it may stop taking it, and says why in its next line."""
        try:
            while (chunk := await _next(chunks)) is not None:
                await self._give(chunk)
        except (BrokenPipeError, ConnectionResetError):
            return
        finally:
            self._given.close()

    async def _give(self, data: bytes) -> None:
        self._given.write(data)
        async with _patience():
            await self._given.drain()

    async def pieces(self) -> AsyncIterator[bytes]:
        """What it writes, to its end.

        Raises:
            SwarmdError: it broke off.
        """
        while True:
            async with _patience():
                piece = await self._out.read(_PIECE_BYTES)
            if not piece:
                break
            yield piece
        await self.end()

    async def end(self) -> None:
        """Waits for its end.

        Raises:
            SwarmdError: it did not come to its end.
        """
        async with _patience():
            code = await self._process.wait()
        if code != 0:
            await self._fail()

    async def _fail(self) -> None:
        async with _patience():
            said = await self._errors.read(_LINE_BYTES_MAX)
        raise _error_of(said)

    async def close(self) -> None:
        """Kills it, if it goes on."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()
        self._given.close()
        while await self._out.read(_PIECE_BYTES):  # what was in the pipe
            pass
        await self._errors.read()
        await self._process.wait()
        with suppress(
            BrokenPipeError, ConnectionResetError
        ):  # it was told all that it wanted to know
            await self._given.wait_closed()


@asynccontextmanager
async def a_helper(order: TreeOrder) -> AsyncIterator[Helper]:
    """A new helper with its order; in the end it is no more."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *_FLAGS,
        str(_PROGRAM),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        cwd="/",
        env={},
        start_new_session=True,
    )
    helper = Helper(process)
    try:
        await helper.order(order)
        yield helper
    finally:
        await asyncio.shield(helper.close())


async def _next(chunks: AsyncIterator[bytes]) -> bytes | None:
    """The next piece of an archive, None at its end; whoever sends it is not waited for without end."""
    async with _patience():
        return await anext(chunks, None)


@asynccontextmanager
async def _patience() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(STALLED_SECONDS_MAX):
            yield
    except TimeoutError as error:
        raise SystemFailureError(
            f"nothing came of a container's tree for {STALLED_SECONDS_MAX:.0f} seconds"
        ) from error


def _error_of(said: bytes) -> SwarmdError:
    try:
        raw = json.loads(said)
        kind = getattr(common.errors, raw["error"], SystemFailureError)
        error: SwarmdError = kind(raw["message"], hint=raw["hint"])
    except (ValueError, KeyError, TypeError):
        text = said.decode(errors="replace").strip().splitlines()
        return SystemFailureError(f"a container's tree: {text[-1] if text else 'the helper ended'}")
    return error
