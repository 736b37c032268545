"""What a manager that does not lead says to the one that does, about logs: a manager's part of an agent's session.

    reader ── LogRequest, LogMore, LogCancel ──▶ leader
           ◀────── LogLines, LogEnd ───────────

Up to ``LOG_WINDOW`` ``LogLines`` of a request are under way, as between a manager and an agent: who reads slowly holds
up the nodes that the lines come from, and no other reader.
"""

from typing import Final

from common.protocol.messages import LogCancel, LogEnd, LogLines, LogMore, LogRequest
from common.protocol.stream import FramedStream, StreamBounds
from common.protocol.tls_channel import FROM_AGENT_BYTES_MAX, SILENCE_SECONDS, TlsChannel

LOGS: Final = "/logs"
PROTOCOL: Final = "swarmd-logs/1"
BOUNDS: Final = StreamBounds(
    frame_bytes_max=FROM_AGENT_BYTES_MAX,
    buffer_bytes_max=FROM_AGENT_BYTES_MAX,
    silence_seconds=SILENCE_SECONDS,
)

FromReader = LogRequest | LogMore | LogCancel
FromLeader = LogLines | LogEnd


def reader_end(stream: FramedStream) -> TlsChannel:
    """The end of the manager that reads."""
    return TlsChannel(stream, FromLeader, FROM_AGENT_BYTES_MAX)


def leader_end(stream: FramedStream) -> TlsChannel:
    """The end of the manager that leads."""
    return TlsChannel(stream, FromReader, FROM_AGENT_BYTES_MAX)
