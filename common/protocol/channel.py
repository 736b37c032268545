"""A two-way stream of messages between a manager and an agent, and its form within one process."""

import asyncio
from collections import deque
from typing import Protocol

from common.errors import UnavailableError
from common.protocol.messages import Message

CHANNEL_QUEUE_MAX = 256
"""Messages under way in one direction before the sender waits."""


class ChannelClosedError(UnavailableError):
    """The other side is gone."""

    def __init__(self) -> None:
        super().__init__("the other side of the session is gone")


class Channel(Protocol):
    """One side of a stream of messages; whatever carries it, order is kept and senders wait for slow receivers.

    Cancelling ``send`` or ``receive`` neither loses nor doubles a message: it was sent, or it was not; it is still to
    be received, or it was returned.
    """

    async def send(self, message: Message) -> None:
        """Sends; waits while the other side is behind.

        Raises:
            ChannelClosedError: the other side is gone.
        """
        ...

    async def receive(self) -> Message:
        """The next message.

        Raises:
            ChannelClosedError: the other side is gone and everything it sent was received.
        """
        ...

    def close(self) -> None:
        """Ends both directions; may be called again."""
        ...


class _Pipe:
    """One direction of a local channel. Taking and putting never wait in between looking and doing."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._closed = False
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()

    async def put(self, message: Message) -> None:
        while len(self._messages) >= CHANNEL_QUEUE_MAX and not self._closed:
            self._drained.clear()
            await self._drained.wait()
        if self._closed:
            raise ChannelClosedError
        self._messages.append(message)
        self._filled.set()

    async def take(self) -> Message:
        while not self._messages:
            if self._closed:
                raise ChannelClosedError
            self._filled.clear()
            await self._filled.wait()
        self._drained.set()
        return self._messages.popleft()

    def close(self) -> None:
        self._closed = True
        self._filled.set()
        self._drained.set()


class LocalChannel:
    """A channel within one process: a manager and the agent of its own node."""

    def __init__(self, incoming: _Pipe, outgoing: _Pipe) -> None:
        self._incoming, self._outgoing = incoming, outgoing

    async def send(self, message: Message) -> None:
        """Sends; waits while the other side is behind."""
        await self._outgoing.put(message)

    async def receive(self) -> Message:
        """The next message."""
        return await self._incoming.take()

    def close(self) -> None:
        """Ends both directions."""
        self._incoming.close()
        self._outgoing.close()


def local_channel() -> tuple[LocalChannel, LocalChannel]:
    """The two ends of a channel within this process."""
    one, other = _Pipe(), _Pipe()
    return LocalChannel(one, other), LocalChannel(other, one)
