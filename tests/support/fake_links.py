"""Links between members of one process: at once, in order, and cut where a test says so."""

import asyncio
from collections.abc import Callable, Mapping

from manager.raft.messages import Message, pack, unpack


class FakeNetwork:
    """Who can reach whom."""

    def __init__(self) -> None:
        self.links: dict[str, FakeLinks] = {}
        self.cuts: set[tuple[str, str]] = set()
        """Ordered pairs: nothing comes from the first to the second."""
        self.delivered: list[tuple[str, str, Message]] = []
        self.loses: Callable[[str, str, Message], bool] = lambda _sender, _to, _message: False
        """Whether a message is lost without anyone noticing."""

    def of(self, member_id: str) -> "FakeLinks":
        self.links[member_id] = FakeLinks(self, member_id)
        return self.links[member_id]

    def cut_off(self, member_id: str) -> None:
        """Cuts a member off from everyone, both ways."""
        for other in [*self.links]:
            if other != member_id:
                self.cuts |= {(member_id, other), (other, member_id)}
        self._tell_all()

    def heal(self) -> None:
        self.cuts.clear()
        self._tell_all()

    def reaches(self, sender: str, to: str) -> bool:
        return (sender, to) not in self.cuts

    def _tell_all(self) -> None:
        for links in [*self.links.values()]:
            links.look()


class FakeLinks:
    """``manager.raft.links.Links`` of one member."""

    def __init__(self, network: FakeNetwork, member_id: str) -> None:
        self._network, self._me = network, member_id
        self.addresses: dict[str, str] = {}
        self._receive: Callable[[str, Message], None] | None = None
        self._changed: Callable[[str], None] = lambda _peer: None
        self._connected: set[str] = set()

    def start(
        self, receive: Callable[[str, Message], None], changed: Callable[[str], None]
    ) -> None:
        self._receive, self._changed = receive, changed
        self._network._tell_all()

    def set_peers(self, addresses: Mapping[str, str]) -> None:
        self.addresses = dict(addresses)
        self._network._tell_all()

    def send(self, member_id: str, message: Message) -> bool:
        if not self.is_connected(member_id):
            return False
        if not self._network.loses(self._me, member_id, message):
            data = pack(message)
            asyncio.get_running_loop().call_soon(
                self._network.links[member_id]._take, self._me, data
            )
        return True

    def _take(self, sender: str, data: bytes) -> None:
        if self._receive is not None and self._network.reaches(sender, self._me):
            message = unpack(data)
            self._network.delivered.append((sender, self._me, message))
            self._receive(sender, message)

    def is_connected(self, member_id: str) -> bool:
        other = self._network.links.get(member_id)
        return (
            other is not None
            and self._receive is not None
            and other._receive is not None
            and (member_id in self.addresses or self._me in other.addresses)
            and self._network.reaches(self._me, member_id)
            and self._network.reaches(member_id, self._me)
        )

    def look(self) -> None:
        """Tells, in the loop's next round, which links came and went."""
        connected = {other for other in self._network.links if self.is_connected(other)}
        news, self._connected = connected ^ self._connected, connected
        for other in sorted(news):
            asyncio.get_running_loop().call_soon(self._changed, other)

    async def stop(self) -> None:
        self._receive = None
        self._network._tell_all()
