"""A browser that is attached to a container: binary messages out, messages of either kind in."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import WSMsgType, web

MESSAGE_BYTES_MAX: Final = 1024 * 1024
"""Of one message of a client's input."""
MESSAGES_MAX: Final = 4
"""That wait for the process."""
BEAT_SECONDS: Final = 30.0
"""How often a browser is asked whether it is still there."""
CLOSE_SECONDS: Final = 5.0


class WebSocketClient:
    """Implements ``worker.api.pump.Client``."""

    def __init__(self, *, reads: bool) -> None:
        self.socket = web.WebSocketResponse(
            heartbeat=BEAT_SECONDS,
            max_msg_size=MESSAGE_BYTES_MAX,
            timeout=CLOSE_SECONDS,
            compress=False,
        )
        self._reads = reads
        self._inbox: asyncio.Queue[bytes] = asyncio.Queue(MESSAGES_MAX)
        self._gone = asyncio.Event()

    @asynccontextmanager
    async def listening(self, request: web.Request) -> AsyncIterator[None]:
        """Shakes hands, and listens for as long as the context lasts; then closes."""
        await self.socket.prepare(request)
        listener = asyncio.get_running_loop().create_task(self._listen())
        try:
            yield
        finally:
            listener.cancel()
            await asyncio.wait((listener,))
            await self.socket.close()

    async def _listen(self) -> None:
        try:
            while data := _content(await self.socket.receive()):
                if self._reads:
                    await self._inbox.put(data)
        finally:
            self._gone.set()

    async def read(self) -> bytes:
        """What it has sent; b"" once it is gone."""
        if not self._inbox.empty():
            return self._inbox.get_nowait()
        loop = asyncio.get_running_loop()
        waits = [loop.create_task(self._inbox.get()), loop.create_task(self._gone.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        taken = waits[0]
        if taken.done() and not taken.cancelled() and isinstance(data := taken.result(), bytes):
            return data
        return b""

    async def write(self, data: bytes) -> None:
        """Sends one message.

        Raises:
            ConnectionResetError: it is gone.
        """
        if self._gone.is_set():
            raise ConnectionResetError("the client is gone")
        await self.socket.send_bytes(data)

    async def until_gone(self) -> None:
        """Waits for its end."""
        await self._gone.wait()


def _content(message: object) -> bytes:
    """What a message says; b"" of one that ends the connection."""
    kind, data = getattr(message, "type", None), getattr(message, "data", b"")
    if kind is WSMsgType.TEXT:
        return str(data).encode()
    return bytes(data) if kind is WSMsgType.BINARY else b""
