"""How this node dials managers: with its certificate, and making sure that a manager of its swarm answers."""

from collections.abc import Mapping

from common.errors import ForbiddenError
from common.pki.identity import PeerIdentity
from common.pki.tls import Tls
from common.protocol import byte_stream
from common.protocol.byte_stream import ByteStream
from common.protocol.channel import Channel
from common.protocol.stream import FramedStream, StreamBounds
from common.protocol.tls_channel import AGENT_END, PROTOCOL, agent_end
from common.protocol.upgrade import Door, dial
from manager.reach.reaching import CALL, REACHED
from manager.reach.reaching import PROTOCOL as BYTES
from manager.routes import DISPATCH


class Dialler:
    """Dials managers for as long as its certificates are kept up to date."""

    def __init__(self, tls: Tls, cluster_id: str) -> None:
        self._tls, self._cluster_id = tls, cluster_id

    async def stream(self, door: Door, bounds: StreamBounds) -> FramedStream:
        """A stream to a manager.

        Raises:
            ForbiddenError: who answers is no manager of this swarm.
            UnavailableError: nobody answers, or the manager refuses.
            OSError: there is no connection.
        """
        return await dial(door, self._tls.client(), bounds, self._check)

    async def dispatcher(self, address: str, headers: Mapping[str, str]) -> Channel:
        """A channel for a session."""
        door = Door(address=address, path=DISPATCH, protocol=PROTOCOL, headers=headers)
        return agent_end(await self.stream(door, AGENT_END))

    async def answer(self, call_id: str, address: str, headers: Mapping[str, str]) -> ByteStream:
        """The stream that answers a call."""
        said = {**headers, CALL: call_id}
        door = Door(address=address, path=REACHED, protocol=BYTES, headers=said)
        return ByteStream(await self.stream(door, byte_stream.BOUNDS))

    def _check(self, peer: PeerIdentity | None) -> None:
        if peer is None or peer.cluster_id != self._cluster_id:
            raise ForbiddenError("who answers there is no manager of this swarm")
