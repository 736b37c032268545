"""The network between members: streams that delay, stall, break and lose, between hosts that are cut off and healed.

A stream is what TLS over TCP is to a member: bytes in order while it lives; when it breaks, what was under way is lost,
and the two ends learn of it at different times. A cut lets nothing through in one direction: what is sent waits, until
the cut heals or one end gives up. ``Weather`` says how bad it is. Two things are worse than TCP, on purpose, since the
protocol must be safe under them too: after a break, what was under way may still arrive, late and in any order
(``ghosts``), and single messages may be lost, doubled or overtaken (``chaos``).
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from manager.raft.links import LINK_BUFFER_BYTES_MAX
from manager.raft.messages import Message, Removed, pack, unpack
from tests.simulation.raft.virtual_time import Process, VirtualLoop

DIAL_AGAIN_SECONDS = (0.05, 0.5)
HANDSHAKE_TIMEOUT_SECONDS = 2.0
NOTICED_AFTER_SECONDS = (0.5, 5.0)
"""How long an end of a stream takes to notice that nothing comes through any more."""
GHOST_SECONDS = (0.02, 0.3, 4.0)

Observe = Callable[[str, str, Message], None]


@dataclass
class Weather:
    """How the network behaves; may change at any time."""

    delay_seconds: float = 0.002
    """The average time a message takes."""
    ghosts: float = 0.0
    """How often what was under way on a broken stream arrives all the same."""
    chaos: float = 0.0
    """How often a message is lost, doubled, or overtaken by those behind it."""


class Network:
    """All hosts' links, and what stands between them."""

    def __init__(self, loop: VirtualLoop, chance: random.Random, observe: Observe) -> None:
        self.loop, self.chance, self.observe = loop, chance, observe
        self.weather = Weather()
        self.bytes_sent = 0
        self.holds: Callable[[str, str, Message], bool] = lambda _source, _target, _message: False
        """``holds(source, target, message)``: members' messages that are kept back until ``release``."""
        self._held: list[Callable[[], None]] = []
        self._listening: dict[str, SimulatedLinks] = {}
        self._cuts: set[tuple[str, str]] = set()
        self._streams: list[_Stream] = []

    # -------------------------------------------------------------------------------------- faults

    def cut(self, source: str, target: str) -> None:
        """Nothing goes from one host to the other any more."""
        self._cuts.add((source, target))
        for stream in self._streams:
            if stream.is_between(source, target):
                for end in stream.ends:
                    self.later(NOTICED_AFTER_SECONDS, stream.notice_cut, end)

    def heal(self) -> None:
        """All cuts are gone."""
        self._cuts.clear()
        for stream in list(self._streams):
            stream.go_on()

    def release(self) -> None:
        """What was kept back arrives now; nothing is kept back any more."""
        self.holds = lambda _source, _target, _message: False
        held, self._held = self._held, []
        for arrive in held:
            arrive()

    def hold(self, arrive: Callable[[], None]) -> None:
        """Keeps something back until ``release``."""
        self._held.append(arrive)

    def is_cut(self, source: str, target: str) -> bool:
        """Whether nothing goes from one host to the other."""
        return (source, target) in self._cuts

    def break_streams(self, share: float) -> None:
        """Some streams break, as those through a router do that forgets them."""
        for stream in list(self._streams):
            if self.chance.random() < share:
                stream.lose()

    # ------------------------------------------------------------------------------------ for links

    def listen(self, links: "SimulatedLinks") -> None:
        """Others can dial from now on."""
        self._listening[links.address] = links

    def vanish(self, process: Process, *, says_so: bool) -> None:
        """A process has ended; its kernel says so to the others, or had no time for it."""
        for address, links in list(self._listening.items()):
            if links.process is process:
                del self._listening[address]
        for stream in list(self._streams):
            stream.end_died(process, says_so=says_so)

    def whisper(self, source: str, target: str, message: Message) -> None:
        """A message from somebody who is no member, with the certificate of a manager, over a link that it made."""
        for links in self._listening.values():
            if links.member_id == target:
                context = links.process.context.copy()
                self.loop.call_soon(links.receive, source, pack(message), context=context)

    def notice_breaks(self) -> None:
        """Every broken stream is noticed now."""
        for stream in list(self._streams):
            if stream.is_lost:
                for end in stream.ends:
                    stream.broke(end)

    def introduce(self, dialer: "SimulatedLinks", target: "SimulatedLinks") -> None:
        """Makes a link, as if one had dialled the other."""
        self._streams.append(_Stream(self, dialer, target))

    def forget(self, links: "SimulatedLinks") -> None:
        """Nobody listens there any more."""
        if self._listening.get(links.address) is links:
            del self._listening[links.address]

    def delay(self) -> float:
        """How long the next message takes."""
        return self.chance.expovariate(1 / self.weather.delay_seconds)

    def later(
        self, between: tuple[float, float], callback: Callable[..., object], *arguments: object
    ) -> None:
        """Something that the network does after a while."""
        self.loop.at(self.loop.time() + self.chance.uniform(*between), callback, *arguments)

    def dial(self, dialer: "SimulatedLinks", member_id: str, address: str) -> None:
        """A handshake from one to the other, as far as it comes."""
        target = self._listening.get(address)
        if target is None or target.process.is_stopped or self._is_cut_at_all(dialer, target):
            refused = target is None
            after = self.delay() if refused else HANDSHAKE_TIMEOUT_SECONDS
            self.loop.at(self.loop.time() + after, dialer.dialled_in_vain, member_id)
            return
        self.loop.at(self.loop.time() + 3 * self.delay(), self._shake, dialer, member_id, address)

    def _shake(self, dialer: "SimulatedLinks", member_id: str, address: str) -> None:
        target = self._listening.get(address)
        if dialer.process.is_dead:
            return
        if (
            target is None
            or target.process.is_stopped
            or self._is_cut_at_all(dialer, target)
            or target.member_id != member_id
        ):
            dialer.dialled_in_vain(member_id)
        elif target.has_removed(dialer.member_id):
            dialer.dialled_in_vain(member_id)
            dialer.told_removed(member_id)
        else:
            self._streams.append(_Stream(self, dialer, target))

    def drop(self, stream: "_Stream") -> None:
        """A stream that both ends have closed."""
        if stream in self._streams:
            self._streams.remove(stream)

    def _is_cut_at_all(self, one: "SimulatedLinks", other: "SimulatedLinks") -> bool:
        return self.is_cut(one.host, other.host) or self.is_cut(other.host, one.host)


class SimulatedLinks:
    """``manager.raft.links.Links`` of one life of one member."""

    def __init__(
        self,
        network: Network,
        process: Process,
        *,
        host: str,
        address: str,
        member_id: str,
    ) -> None:
        self._network, self.process = network, process
        self.host, self.address, self.member_id = host, address, member_id
        self.has_removed: Callable[[str], bool] = lambda _member_id: False
        self._receive: Callable[[str, Message], None] | None = None
        self._changed: Callable[[str], None] = lambda _member_id: None
        self._peers: dict[str, str] = {}
        self._dialling: set[str] = set()
        self._outgoing: dict[str, _Stream] = {}
        self._incoming: dict[str, _Stream] = {}

    # ------------------------------------------------------------------------- what a member calls

    def start(
        self, receive: Callable[[str, Message], None], changed: Callable[[str], None]
    ) -> None:
        self._receive, self._changed = receive, changed
        self._network.listen(self)
        for member_id in self._peers:
            self._dial(member_id)

    async def stop(self) -> None:
        self._receive = None
        self._network.forget(self)
        for stream in [*self._outgoing.values(), *self._incoming.values()]:
            stream.close(self)
        await asyncio.sleep(0)

    def set_peers(self, addresses: Mapping[str, str]) -> None:
        gone = [
            member_id
            for member_id in self._outgoing
            if addresses.get(member_id) != self._peers.get(member_id)
        ]
        self._peers = {key: addresses[key] for key in addresses if key != self.member_id}
        for member_id in gone:
            self._outgoing[member_id].close(self)
        if self._receive is not None:
            for member_id in self._peers:
                self._dial(member_id)

    def is_connected(self, member_id: str) -> bool:
        return member_id in self._outgoing or member_id in self._incoming

    def send(self, member_id: str, message: Message) -> bool:
        if self.process.is_dead:
            return False
        self._network.observe(self.member_id, member_id, message)
        stream = self._outgoing.get(member_id) or self._incoming.get(member_id)
        if stream is None:
            return False
        if self._network.holds(self.member_id, member_id, message):
            stream.hold(self, pack(message))
            return True
        return stream.send(self, pack(message))

    # ---------------------------------------------------------------------- what the network calls

    def receive(self, member_id: str, data: bytes) -> None:
        """A message came; called as this process."""
        if self._receive is not None:
            self._receive(member_id, unpack(data))

    def opened(self, stream: "_Stream", peer: str) -> None:
        """A stream was made; the newest one counts."""
        streams = self._outgoing if stream.dialer is self else self._incoming
        self._dialling.discard(peer) if stream.dialer is self else None
        before = streams.get(peer)
        streams[peer] = stream
        if before is not None:
            before.close(self)
        self._tell(peer)

    def closed(self, stream: "_Stream", peer: str) -> None:
        """A stream has ended at this end."""
        for streams in (self._outgoing, self._incoming):
            if streams.get(peer) is stream:
                del streams[peer]
        self._tell(peer)
        if stream.dialer is self:
            self._network.later(DIAL_AGAIN_SECONDS, self._dial, peer)

    def dialled_in_vain(self, member_id: str) -> None:
        """Nobody answered there, or nobody who would."""
        self._dialling.discard(member_id)
        self._network.later(DIAL_AGAIN_SECONDS, self._dial, member_id)

    def told_removed(self, member_id: str) -> None:
        """Another member says that this one is none any more."""
        if self._receive is not None:
            self._soon(self._receive, member_id, Removed(member_id=self.member_id))

    def _dial(self, member_id: str) -> None:
        is_over = self._receive is None or self.process.is_dead
        if is_over or member_id not in self._peers or member_id in self._outgoing:
            return
        if member_id not in self._dialling:
            self._dialling.add(member_id)
            self._network.dial(self, member_id, self._peers[member_id])

    def _tell(self, member_id: str) -> None:
        self._soon(self._changed, member_id)

    def _soon(self, callback: Callable[..., object], *arguments: object) -> None:
        if self._receive is not None:
            context = self.process.context.copy()
            self._network.loop.call_soon(callback, *arguments, context=context)


@dataclass(eq=False)
class _Pipe:
    """One direction of a stream."""

    source: SimulatedLinks
    target: SimulatedLinks
    queue: deque[bytes | None] = field(default_factory=deque)
    """None: the end of the stream."""
    size: int = 0
    is_moving: bool = False


class _Stream:
    """A connection between two members."""

    def __init__(self, network: Network, dialer: SimulatedLinks, target: SimulatedLinks) -> None:
        self._network, self.dialer, self._target = network, dialer, target
        self.ends = (dialer, target)
        self._open = {id(dialer), id(target)}
        self.is_lost = False
        """Nothing comes through any more, and nobody has noticed yet."""
        self._pipes = {id(dialer): _Pipe(dialer, target), id(target): _Pipe(target, dialer)}
        target.opened(self, dialer.member_id)
        dialer.opened(self, target.member_id)

    def is_between(self, one: str, other: str) -> bool:
        """Whether it connects these hosts."""
        return {self.dialer.host, self._target.host} == {one, other}

    def send(self, source: SimulatedLinks, data: bytes) -> bool:
        """Puts a message on its way, unless too much is."""
        pipe = self._pipes[id(source)]
        if pipe.size + len(data) > LINK_BUFFER_BYTES_MAX:
            return False
        network = self._network
        network.bytes_sent += len(data)
        if network.weather.chaos and network.chance.random() < network.weather.chaos:
            for _ in range(network.chance.choice((0, 1, 2))):
                self._ghost(pipe, data)
            return True
        pipe.queue.append(data)
        pipe.size += len(data)
        self._move(pipe)
        return True

    def hold(self, source: SimulatedLinks, data: bytes) -> None:
        """Keeps a message back; whatever happens to the stream, it arrives when it is released."""
        pipe = self._pipes[id(source)]
        self._network.hold(
            partial(self._as_receiver, pipe, pipe.target.receive, source.member_id, data)
        )

    def close(self, end: SimulatedLinks) -> None:
        """One end closes; the other one learns of it behind what is under way."""
        if id(end) in self._open:
            pipe = self._pipes[id(end)]
            pipe.queue.append(None)
            self._move(pipe)
            self._close(end)

    def notice_cut(self, end: SimulatedLinks) -> None:
        """An end gives up when nothing has come through for long."""
        source, target = (one.host for one in self.ends)
        if self._network.is_cut(source, target) or self._network.is_cut(target, source):
            self.broke(end)

    def broke(self, end: SimulatedLinks) -> None:
        """An end notices that the stream is broken: what it had sent is lost, or comes as a ghost."""
        self.lose()
        if id(end) in self._open:
            self._lose(self._pipes[id(end)])
            self._close(end)

    def lose(self) -> None:
        """Nothing comes through any more; either end will notice."""
        if not self.is_lost:
            self.is_lost = True
            for end in self.ends:
                self._network.later(NOTICED_AFTER_SECONDS, self.broke, end)

    def end_died(self, process: Process, *, says_so: bool) -> None:
        """The process at one end has ended."""
        for end in self.ends:
            if end.process is not process or id(end) not in self._open:
                continue
            if says_so:
                self.close(end)
            else:
                self.broke(end)

    def go_on(self) -> None:
        """A cut has healed."""
        for pipe in self._pipes.values():
            self._move(pipe)

    def _close(self, end: SimulatedLinks) -> None:
        self._open.discard(id(end))
        if not end.process.is_dead:
            end.closed(self, self._other(end).member_id)
        if not self._open:
            self._network.drop(self)

    def _other(self, end: SimulatedLinks) -> SimulatedLinks:
        return self._target if end is self.dialer else self.dialer

    def _lose(self, pipe: _Pipe) -> None:
        network = self._network
        if network.weather.ghosts and network.chance.random() < network.weather.ghosts:
            for data in pipe.queue:
                if data is not None:
                    self._ghost(pipe, data)
        pipe.queue.clear()
        pipe.size = 0

    def _ghost(self, pipe: _Pipe, data: bytes) -> None:
        """A message that comes whenever it likes, as long as the receiver lives."""
        network = self._network
        longest = network.chance.choice(GHOST_SECONDS)
        network.later((0.0, longest), self._ghost_arrives, pipe, data)

    def _ghost_arrives(self, pipe: _Pipe, data: bytes) -> None:
        if not self._network.is_cut(pipe.source.host, pipe.target.host):
            self._as_receiver(pipe, pipe.target.receive, pipe.source.member_id, data)

    def _move(self, pipe: _Pipe) -> None:
        if id(pipe.target) not in self._open:
            pipe.queue.clear()
        elif pipe.queue and not pipe.is_moving:
            pipe.is_moving = True
            loop = self._network.loop
            loop.at(loop.time() + self._network.delay(), self._arrive, pipe)

    def _arrive(self, pipe: _Pipe) -> None:
        pipe.is_moving = False
        if self.is_lost or self._network.is_cut(pipe.source.host, pipe.target.host):
            return
        pipe.is_moving = True
        self._as_receiver(pipe, self._deliver, pipe)

    def _as_receiver(
        self, pipe: _Pipe, callback: Callable[..., object], *arguments: object
    ) -> None:
        """Calls something as the receiver, once that runs."""
        context = pipe.target.process.context.copy()
        self._network.loop.call_soon(callback, *arguments, context=context)

    def _deliver(self, pipe: _Pipe) -> None:
        """All that has come by now, in order."""
        pipe.is_moving = False
        together = self._network.chance.randint(1, 8)
        while pipe.queue and together and id(pipe.target) in self._open:
            data = pipe.queue.popleft()
            together -= 1
            if data is None:
                self._close(pipe.target)
                return
            pipe.size -= len(data)
            pipe.target.receive(pipe.source.member_id, data)
        self._move(pipe)
