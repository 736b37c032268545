"""A ``Channel`` over a stream of frames: what a manager and the agent of another node speak through."""

import asyncio
from collections import deque
from typing import Any, Final, TypeVar, cast

from common.codec import CodecError, decode, encode
from common.errors import TooLargeError
from common.protocol.channel import CHANNEL_QUEUE_MAX, ChannelClosedError
from common.protocol.messages import FromAgent, FromManager, Message
from common.protocol.stream import FramedStream, StreamBounds

PROTOCOL: Final = "swarmd-dispatch/1"
SILENCE_SECONDS: Final = 15.0
FROM_AGENT_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of one message of an agent: 200 statuses, or lines of a log."""
FROM_MANAGER_BYTES_MAX: Final = 32 * 1024 * 1024
"""Of one message of a manager: up to 200 tasks with their specs."""
SENT_BYTES_MAX: Final = 1024 * 1024
"""Waiting to be sent before a sender waits."""
RECEIVED_BYTES_MAX: Final = 1024 * 1024
"""Received and not yet taken before the other side is made to wait."""

AGENT_END: Final = StreamBounds(
    frame_bytes_max=FROM_MANAGER_BYTES_MAX,
    buffer_bytes_max=SENT_BYTES_MAX,
    silence_seconds=SILENCE_SECONDS,
)
MANAGER_END: Final = StreamBounds(
    frame_bytes_max=FROM_AGENT_BYTES_MAX,
    buffer_bytes_max=SENT_BYTES_MAX,
    silence_seconds=SILENCE_SECONDS,
)
M = TypeVar("M", bound=Message)


class BadMessageError(ChannelClosedError):
    """The other side said something that is no message: the channel is closed."""

    def __init__(self, why: str) -> None:
        super().__init__()
        self.message = f"the other side of the session is out of order: {why}"


class TlsChannel:
    """One end of a channel. ``agent_end`` and ``manager_end`` say which kinds of messages come in."""

    def __init__(self, stream: FramedStream, accepts: Any, sends_bytes_max: int) -> None:  # noqa: ANN401 - a union
        self._stream, self._accepts, self._sends_bytes_max = stream, accepts, sends_bytes_max
        self._received: deque[bytes] = deque()
        self._received_bytes = 0
        self._has_ended = False
        self._is_closed = False
        self._room = asyncio.Event()
        self._reader: asyncio.Future[None] | None = None
        """Who waits in ``receive``: one at a time. An event would cost twice as much, for every message."""
        stream.attach(self._take, ended=self._end, room=self._room.set)

    async def send(self, message: Message) -> None:
        """Sends; waits while the other side is behind.

        Raises:
            ChannelClosedError: the other side is gone, or this one has closed.
            TooLargeError: no message may be so large; the channel goes on.
        """
        frame = encode(message)
        if len(frame) > self._sends_bytes_max:
            raise TooLargeError(
                f"a {type(message).__name__} of {len(frame)} bytes, over {self._sends_bytes_max}"
            )
        while True:
            if self._has_ended or self._is_closed:
                raise ChannelClosedError
            if self._stream.send(frame):
                return
            self._room.clear()
            await self._room.wait()

    async def receive(self) -> Message:
        """The next message.

        Raises:
            ChannelClosedError: the other side is gone and everything it sent was received.
            BadMessageError: what it sent is not a message for this side.
        """
        while not self._received:
            if self._has_ended or self._is_closed:
                raise ChannelClosedError
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        frame = self._received.popleft()
        self._received_bytes -= len(frame)
        if not self._is_behind():
            self._stream.resume_reading()
        try:
            return cast(Message, decode(self._accepts, frame))
        except CodecError as error:
            self.close()
            raise BadMessageError(error.message) from None

    def close(self) -> None:
        """Ends both directions; what was sent still goes out."""
        self._is_closed = True
        self._stream.close()
        self._wake_reader()
        self._room.set()

    def _take(self, frame: bytes) -> None:
        self._received.append(frame)
        self._received_bytes += len(frame)
        self._wake_reader()
        if self._is_behind():
            self._stream.pause_reading()

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _is_behind(self) -> bool:
        return (
            len(self._received) >= CHANNEL_QUEUE_MAX or self._received_bytes >= RECEIVED_BYTES_MAX
        )

    def _end(self, _why: str) -> None:
        self._has_ended = True
        self._wake_reader()
        self._room.set()


def agent_end(stream: FramedStream) -> TlsChannel:
    """The agent's end: hears what managers say."""
    return TlsChannel(stream, FromManager, FROM_AGENT_BYTES_MAX)


def manager_end(stream: FramedStream) -> TlsChannel:
    """The manager's end: hears what agents say."""
    return TlsChannel(stream, FromAgent, FROM_MANAGER_BYTES_MAX)
