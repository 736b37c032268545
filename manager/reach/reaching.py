"""On any manager: a stream of bytes to the engine of any node, if need be through the manager that leads."""

from collections.abc import Callable
from typing import Final

from common.errors import SwarmdError, UnavailableError
from common.protocol.byte_stream import BOUNDS, ByteStream
from common.protocol.stream import FramedStream
from common.protocol.upgrade import Door
from manager.reach.calls import Calls
from manager.relay import DialManager

REACH: Final = "/reach"
REACHED: Final = "/reached"
PROTOCOL: Final = "swarmd-bytes/1"
TO: Final = "X-Swarmd-To"
"""Whose engine another manager wants to reach."""
CALL: Final = "X-Swarmd-Call"
"""Which call an agent answers."""
OPEN_SECONDS_MAX: Final = 15.0
"""More than the leader gives the agent to answer."""


class Reaching:
    """Opens streams to nodes. This node's own engine is nobody's to reach so: it is here."""

    def __init__(self, leader: Callable[[], str | None], calls: Calls, dial: DialManager) -> None:
        """``leader`` gives ``host:port`` of the manager that leads, None where it is this one; or raises."""
        self._leader, self._calls, self._dial = leader, calls, dial

    async def open(self, node_id: str) -> ByteStream:
        """A stream to the engine of another node.

        Raises:
            UnavailableError: it cannot be reached now, and why.
        """
        return ByteStream(await self._open(node_id))

    async def _open(self, node_id: str) -> FramedStream:
        leader = self._leader()
        if leader is None:
            return await self._calls.open(node_id)
        door = Door(
            address=leader,
            path=REACH,
            protocol=PROTOCOL,
            headers={TO: node_id},
            seconds_max=OPEN_SECONDS_MAX,
        )
        try:
            return await self._dial(door, BOUNDS)
        except (SwarmdError, OSError) as error:
            raise UnavailableError(f"through the manager at {leader}: {error}") from error
