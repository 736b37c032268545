"""Links between members over TLS: dialled until they stand, heard whoever made them, bounded in all they hold.

Two members may each have dialled the other. Both connections are heard; what is sent goes over the newest. A new one
of the same dialler takes the place of its old one. Where both directions stand, the member with the smaller id gives up
the one that it dialled, a while later: so both agree on which one stays, and no message waits for the decision.
"""

import asyncio
import json
import logging
import random  # noqa: TID251 - only named as a type
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Never

from aiohttp import web

from common.backoff import delays
from common.clock import Clock
from common.codec import CodecError
from common.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    SwarmdError,
    UnavailableError,
)
from common.model.node import Role
from common.pki.identity import PeerIdentity
from common.protocol.stream import FramedStream, StreamBounds
from common.protocol.upgrade import Door, UpgradeRefusedError, accept, dial, serve
from manager.listener import Access, Caller, ClusterRoute
from manager.raft.links import LINK_BUFFER_BYTES_MAX
from manager.raft.messages import FRAME_BYTES_MAX, Message, Removed, pack, unpack
from manager.raft.peers import MEMBER_ID_DIGITS, Peer, RaftStatus

PATH: Final = "/raft"
PROTOCOL: Final = "swarmd-raft/1"
FROM, TO = "X-Raft-From", "X-Raft-To"
SILENCE_SECONDS: Final = 3.0
"""After which the other side is taken for gone; raft itself knows sooner."""
DIAL_SECONDS: Final = 2.0
"""For one attempt: when a cut network heals, the next attempt is what finds out."""
DIAL_AGAIN_SECONDS: Final = 0.05
DIAL_AGAIN_SECONDS_MAX: Final = 1.0
REFUSED_AGAIN_SECONDS: Final = 5.0
"""After an answer that will not change soon: another member, no certificate, removed."""
SURPLUS_SECONDS: Final = 1.0
"""How long two connections with one member may stand before one is given up."""
LOOK_AGAIN_SECONDS: Final = 1.0
"""How often it is looked whether who has dialled is still let in."""
UNLISTED_MAX: Final = 8
"""Members that the configuration does not list and that are heard nevertheless: it may be that it is behind."""
WARN_AGAIN_SECONDS: Final = 30.0
"""How often the same trouble with one member is told."""
BOUNDS: Final = StreamBounds(
    frame_bytes_max=FRAME_BYTES_MAX,
    buffer_bytes_max=LINK_BUFFER_BYTES_MAX,
    silence_seconds=SILENCE_SECONDS,
)
_GONE: Final = 410
_MEMBER_ID: Final = re.compile(f"[0-9a-f]{{{MEMBER_ID_DIGITS}}}")

log = logging.getLogger("swarmd.raft.links")


@dataclass(slots=True)
class _Link:
    """What there is with one member."""

    streams: dict[bool, FramedStream] = field(default_factory=dict)
    """By whether this member dialled it."""
    current: FramedStream | None = None
    """What is sent over: the newest that stands."""
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while there is none."""


class TlsLinks:
    """Implements ``manager.raft.links.Links``; ``route`` is to be served by the cluster listener."""

    def __init__(
        self,
        me: Peer,
        cluster_id: str,
        context: Callable[[], ssl.SSLContext],
        status: Callable[[], RaftStatus],
        *,
        clock: Clock,
        chance: random.Random,
    ) -> None:
        """``context`` is asked anew for each connection, and ``status`` who is a member and who was removed."""
        self._me, self._cluster_id, self._context = me, cluster_id, context
        self._status, self._clock, self._chance = status, clock, chance
        self._receive: Callable[[str, Message], None] | None = None
        self._changed: Callable[[str], None] | None = None
        self._addresses: dict[str, str] = {}
        self._links: dict[str, _Link] = {}
        self._warned: dict[str, float] = {}
        self._peers_changed = asyncio.Event()
        self._dialling: asyncio.Task[None] | None = None

    # --------------------------------------------------------------------------------- as Links has it

    def start(
        self, receive: Callable[[str, Message], None], changed: Callable[[str], None]
    ) -> None:
        """From now on gives what comes in to ``receive``, and dials."""
        self._receive, self._changed = receive, changed
        self._dialling = asyncio.get_running_loop().create_task(self._dial_all())
        self._dialling.add_done_callback(_told_if_broken)

    def set_peers(self, addresses: Mapping[str, str]) -> None:
        """Whom to dial: member id to ``host:port``."""
        if self._addresses != addresses:
            self._addresses = dict(addresses)
            self._peers_changed.set()

    def send(self, member_id: str, message: Message) -> bool:
        """Sends; False: there is no link, or its buffer is full, and the message is gone.

        Raises:
            ValueError: the message is larger than any may be: our own mistake.
        """
        link = self._links.get(member_id)
        if (
            link is None
            or link.current is None
            or link.current.waiting_bytes >= LINK_BUFFER_BYTES_MAX
        ):
            return False
        frame = pack(message)
        if len(frame) > FRAME_BYTES_MAX:
            raise ValueError(f"a {type(message).__name__} of {len(frame)} bytes cannot be sent")
        return link.current.send(frame)

    def is_connected(self, member_id: str) -> bool:
        """Whether there is a link."""
        link = self._links.get(member_id)
        return link is not None and link.current is not None

    def dial_anew(self) -> None:
        """Ends the connections that this member has made: the next ones show and trust what is right now."""
        for link in list(self._links.values()):
            if True in link.streams:
                link.streams[True].close()

    async def stop(self) -> None:
        """Closes every link; nothing is received any more."""
        self._receive = self._changed = None
        if self._dialling is not None:
            self._dialling.cancel()
            await asyncio.wait((self._dialling,))
            self._dialling = None
        streams = [stream for link in self._links.values() for stream in link.streams.values()]
        for stream in streams:
            stream.close()
        for stream in streams:
            await stream.until_ended()

    # ------------------------------------------------------------------------------------- answering

    def route(self) -> ClusterRoute:
        """Where the other members dial this one."""
        return ClusterRoute(method="POST", path=PATH, access=Access.MANAGER, handler=self._answer)

    async def _answer(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        sender = _member_id(request, FROM)
        self._check_dialler(sender, _member_id(request, TO), caller.identity)
        stream = accept(request, PROTOCOL, BOUNDS)
        self._adopt(sender, stream, is_dialled=False)
        self._look_again_later(sender, caller, stream)
        return await serve(stream)

    def _look_again_later(self, sender: str, caller: Caller, stream: FramedStream) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(LOOK_AGAIN_SECONDS, self._look_again, sender, caller, stream)

    def _look_again(self, sender: str, caller: Caller, stream: FramedStream) -> None:
        """Who was let in may have been removed since, or its certificate may have run out."""
        link = self._links.get(sender)
        if link is None or link.streams.get(False) is not stream:
            return
        try:
            self._check_dialler(sender, self._me.member_id, caller.identity)
            if self._clock.now() > caller.expires_at:
                raise ForbiddenError("its certificate has run out")
        except (SwarmdError, web.HTTPException) as error:
            stream.abort(f"it is not let in any more: {error}")
        else:
            self._look_again_later(sender, caller, stream)

    def _check_dialler(self, sender: str, addressee: str, peer: PeerIdentity) -> None:
        if self._receive is None:
            raise UnavailableError("this manager takes no part in the replication now")
        if addressee != self._me.member_id or sender == self._me.member_id:
            raise ConflictError(f"this is not member {addressee}")
        status = self._status()
        if sender in status.removed:
            raise web.HTTPGone(text=f"member {sender} was removed from this cluster")
        nodes = {member.member_id: member.node_id for member in status.members}
        if sender not in nodes:
            # Its certificate is valid for long after it was removed, and any id can be made up.
            if peer.node_id in status.removed_nodes:
                raise ForbiddenError(f"node {peer.node_id} is no manager of this cluster any more")
            unlisted = {other for other in self._links if other not in nodes} - {sender}
            if len(unlisted) >= UNLISTED_MAX:
                raise UnavailableError("too many members that are not listed are connected")
        elif nodes[sender] != peer.node_id:
            raise ForbiddenError(f"member {sender} is not on node {peer.node_id}")

    # --------------------------------------------------------------------------------------- dialling

    async def _dial_all(self) -> None:
        """Keeps one task for each member to dial."""
        tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                wanted = set(self._addresses.items())
                for gone in tasks.keys() - wanted:
                    tasks.pop(gone).cancel()
                for member_id, address in wanted - tasks.keys():
                    work = self._keep_dialling(member_id, address)
                    tasks[member_id, address] = group.create_task(work)
                self._peers_changed.clear()
                await self._peers_changed.wait()

    async def _keep_dialling(self, member_id: str, address: str) -> Never:
        waits = delays(DIAL_AGAIN_SECONDS, DIAL_AGAIN_SECONDS_MAX, self._chance)
        while True:
            if self.is_connected(member_id):
                await self._links[member_id].lost.wait()
                waits = delays(DIAL_AGAIN_SECONDS, DIAL_AGAIN_SECONDS_MAX, self._chance)
                continue
            wait = next(waits)
            try:
                stream = await self._dial(member_id, address)
            except UpgradeRefusedError as error:
                self._warn(member_id, "a manager refuses a link", _said(error))
                if error.status == _GONE and self._receive is not None:
                    self._receive(member_id, Removed(member_id=self._me.member_id))
                if error.status < 500:  # noqa: PLR2004 - a server's fault may pass
                    wait = REFUSED_AGAIN_SECONDS
            except (SwarmdError, OSError, ValueError) as error:
                self._warn(member_id, "a manager cannot be reached", str(error))
            else:
                self._adopt(member_id, stream, is_dialled=True)
                continue
            await self._clock.sleep(wait)

    async def _dial(self, member_id: str, address: str) -> FramedStream:
        door = Door(
            address=address,
            path=PATH,
            protocol=PROTOCOL,
            headers={FROM: self._me.member_id, TO: member_id},
            seconds_max=DIAL_SECONDS,
        )
        return await dial(door, self._context(), BOUNDS, partial(self._check_dialled, member_id))

    def _check_dialled(self, member_id: str, peer: PeerIdentity | None) -> None:
        if peer is None or peer.role is not Role.MANAGER or peer.cluster_id != self._cluster_id:
            raise ForbiddenError("who answers there is no manager of this cluster")
        nodes = {member.member_id: member.node_id for member in self._status().members}
        if nodes.get(member_id, peer.node_id) != peer.node_id:
            raise ForbiddenError(f"node {peer.node_id} answers there, not the member's")

    # ------------------------------------------------------------------------------------ connections

    def _adopt(self, member_id: str, stream: FramedStream, *, is_dialled: bool) -> None:
        link = self._links.setdefault(member_id, _Link())
        before = link.streams.get(is_dialled)
        link.streams[is_dialled] = link.current = stream
        link.lost.clear()
        stream.attach(
            partial(self._take, member_id, stream),
            ended=partial(self._end, member_id, stream, is_dialled),
        )
        if before is not None:
            before.abort("a newer connection took its place")
        if len(link.streams) > 1 and self._me.member_id < member_id:
            loop = asyncio.get_running_loop()
            loop.call_later(SURPLUS_SECONDS, self._give_up_surplus, member_id)
        self._tell(member_id)

    def _give_up_surplus(self, member_id: str) -> None:
        link = self._links.get(member_id)
        if link is not None and len(link.streams) > 1:
            link.current = link.streams[False]
            link.streams[True].close()

    def _end(self, member_id: str, stream: FramedStream, is_dialled: bool, why: str) -> None:  # noqa: FBT001 - bound by us
        link = self._links.get(member_id)
        if link is None or link.streams.get(is_dialled) is not stream:
            return  # a newer one took its place
        del link.streams[is_dialled]
        if link.current is not stream:
            return
        link.current = next(iter(link.streams.values()), None)
        if link.current is None:
            log.info("a link has ended", extra={"member": member_id, "reason": why})
            link.lost.set()
            del self._links[member_id]
        self._tell(member_id)

    def _tell(self, member_id: str) -> None:
        asyncio.get_running_loop().call_soon(self._tell_now, member_id)

    def _tell_now(self, member_id: str) -> None:
        if self._changed is not None:
            self._changed(member_id)

    def _take(self, member_id: str, stream: FramedStream, frame: bytes) -> None:
        if self._receive is None:
            return
        try:
            message = unpack(frame)
        except CodecError as error:
            self._warn(member_id, "a manager sent what is no message", str(error))
            stream.abort("it sent what is no message")
            return
        self._receive(member_id, message)

    def _warn(self, member_id: str, what: str, reason: str) -> None:
        """Tells of a trouble once in a while."""
        now = self._clock.monotonic()
        self._warned = {
            key: at for key, at in self._warned.items() if now - at < WARN_AGAIN_SECONDS
        }
        key = f"{member_id} {what}"
        if key not in self._warned:
            self._warned[key] = now
            log.warning(what, extra={"member": member_id, "reason": reason})


def _told_if_broken(dialling: asyncio.Task[None]) -> None:
    if not dialling.cancelled() and (error := dialling.exception()) is not None:
        log.critical("no manager is dialled any more", exc_info=error)


def _member_id(request: web.Request, header: str) -> str:
    member_id = request.headers.get(header, "")
    if not _MEMBER_ID.fullmatch(member_id):
        raise InvalidInputError(f"{header} is not the id of a member")
    return member_id


def _said(error: UpgradeRefusedError) -> str:
    """The message in a refusal's body."""
    try:
        return str(json.loads(error.message)["message"])
    except (ValueError, KeyError, TypeError):
        return error.message
