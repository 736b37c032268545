"""A two-way stream of messages between a manager and an agent, and its form within one process."""

import asyncio
from typing import Protocol

from common.errors import UnavailableError
from common.protocol.messages import Message

CHANNEL_QUEUE_MAX = 256
"""Messages under way in one direction before the sender waits."""


class ChannelClosedError(UnavailableError):
    """The other side is gone."""


class Channel(Protocol):
    """One side of a stream of messages; whatever carries it, order is kept and senders wait for slow receivers."""

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
    """One direction of a local channel."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[Message] = asyncio.Queue(CHANNEL_QUEUE_MAX)
        self.closed = asyncio.Event()


class LocalChannel:
    """A channel within one process: a manager and the agent of its own node."""

    def __init__(self, incoming: _Pipe, outgoing: _Pipe) -> None:
        self._incoming, self._outgoing = incoming, outgoing

    async def send(self, message: Message) -> None:
        """Sends; waits while the other side is behind."""
        if self._outgoing.closed.is_set():
            raise ChannelClosedError("the other side of the session is gone")
        if not self._outgoing.messages.full():
            self._outgoing.messages.put_nowait(message)
        elif not await _unless(self._outgoing.closed, self._outgoing.messages.put(message)):
            raise ChannelClosedError("the other side of the session is gone")

    async def receive(self) -> Message:
        """The next message."""
        if self._incoming.messages.empty() and not self._incoming.closed.is_set():
            peek: asyncio.Queue[Message] = self._incoming.messages
            holder: list[Message] = []

            async def take() -> None:
                holder.append(await peek.get())

            await _unless(self._incoming.closed, take())
            if holder:
                return holder[0]
        if self._incoming.messages.empty():
            raise ChannelClosedError("the other side of the session is gone")
        return self._incoming.messages.get_nowait()

    def close(self) -> None:
        """Ends both directions."""
        self._incoming.closed.set()
        self._outgoing.closed.set()


def local_channel() -> tuple[LocalChannel, LocalChannel]:
    """The two ends of a channel within this process."""
    one, other = _Pipe(), _Pipe()
    return LocalChannel(one, other), LocalChannel(other, one)


async def _unless(stopped: asyncio.Event, work: "asyncio._CoroutineLike[None]") -> bool:
    """Does ``work`` unless ``stopped`` comes first; says whether it was done."""
    async with asyncio.TaskGroup() as group:
        doing, stopping = group.create_task(work), group.create_task(stopped.wait())
        done, _ = await asyncio.wait((doing, stopping), return_when=asyncio.FIRST_COMPLETED)
        doing.cancel()
        stopping.cancel()
    return doing in done
