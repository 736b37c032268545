"""Lets managers reach the API of this node: dials back when called, and passes bytes on."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Never

from cli.swarmd.local_api import Connection
from common.errors import SwarmdError
from common.protocol.byte_stream import ByteStream
from common.protocol.messages import DialBack

CALLS_MAX: Final = 64
"""Calls answered at the same time."""
READ_BYTES: Final = 64 * 1024
_log = logging.getLogger(__name__)


class Answering:
    """Answers calls for as long as ``run`` runs."""

    def __init__(
        self,
        dial_back: Callable[[str], Awaitable[ByteStream]],
        connect: Callable[[], Awaitable[Connection]],
    ) -> None:
        """``dial_back`` opens the stream that answers a call, ``connect`` a connection to this node's API."""
        self._dial_back, self._connect = dial_back, connect
        self._calls: deque[str] = deque()
        self._count = 0
        self._bell = asyncio.Event()

    def hear(self, call: DialBack) -> None:
        """A manager calls. Whoever calls too often is not answered, and gives up after a while."""
        if self._count >= CALLS_MAX:
            _log.warning("a call is not answered: %d are being answered", self._count)
            return
        self._count += 1
        self._calls.append(call.request_id)
        self._bell.set()

    async def run(self) -> Never:
        """Answers."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._bell.wait()
                self._bell.clear()
                while self._calls:
                    group.create_task(self._answer(self._calls.popleft()))
        raise AssertionError("it runs until it is cancelled")

    async def _answer(self, call_id: str) -> None:
        try:
            await self.serve(await self._dial_back(call_id))
        except (SwarmdError, OSError) as error:
            _log.warning("a call was not answered: %s", error)
        finally:
            self._count -= 1

    async def serve(self, stream: ByteStream) -> None:
        """Passes bytes on between a stream and a connection of its own to this node's API."""
        try:
            reader, writer = await self._connect()
        except SwarmdError as error:
            _log.warning("a stream to this node's API is refused: %s", error)
            stream.close()
            return
        try:
            async with asyncio.TaskGroup() as group:
                asking = group.create_task(_ask(stream, writer))
                await _answer(reader, stream)
                asking.cancel()
        except* (SwarmdError, OSError):
            pass  # one side is gone: so is the other
        finally:
            stream.close()
            writer.close()


async def _ask(stream: ByteStream, writer: asyncio.StreamWriter) -> None:
    """An API that takes no more has answered, and that is still to be passed on."""
    with suppress(OSError):
        while piece := await stream.read():
            writer.write(piece)
            await writer.drain()
        writer.write_eof()


async def _answer(reader: asyncio.StreamReader, stream: ByteStream) -> None:
    while piece := await reader.read(READ_BYTES):
        await stream.write(piece)
    await stream.end()
