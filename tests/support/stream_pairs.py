"""Two ends of a stream of frames within this process."""

import asyncio
import socket

from common.protocol.byte_stream import ByteStream
from common.protocol.stream import FramedStream, StreamBounds


async def stream_pair(bounds: StreamBounds) -> tuple[FramedStream, FramedStream]:
    """Both ends, over a socket pair."""
    loop = asyncio.get_running_loop()
    ends = []
    for end in socket.socketpair():
        end.setblocking(False)  # noqa: FBT003 - the signature is Python's
        _, stream = await loop.connect_accepted_socket(lambda: FramedStream(bounds), end)
        ends.append(stream)
    one, other = ends
    return one, other


async def no_engine(stream: ByteStream) -> None:
    """Of a node whose API answers nobody."""
    stream.close()
