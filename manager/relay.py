"""A manager that does not lead passes streams of agents on to the one that does, for nodes that cannot dial it.

```
 agent ── POST /dispatch, X-Swarmd-Pass-On ──▶ this manager ── POST /dispatch, X-Swarmd-For: <node id> ──▶ leader
       ◀────────────── frames, as they are ──────────────▶   ◀────────────── frames, as they are ──────────▶
```

The node id is that of the agent's certificate, as this manager has seen it; the leader believes it of managers only. A
frame is passed on whole and not looked into. Who reads slowly makes the other side wait: what is held of a session is
what its two streams hold.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from common.clock import Clock
from common.errors import SwarmdError, UnavailableError
from common.protocol.stream import FramedStream, StreamBounds
from common.protocol.tls_channel import AGENT_END, MANAGER_END, PROTOCOL
from common.protocol.upgrade import Door, accept, serve
from manager.expiry import closed_when_expired
from manager.listener import Caller

PASS_ON: Final = "X-Swarmd-Pass-On"  # noqa: S105 - the name of a header
"""Set by an agent that cannot dial the leader itself."""
FOR: Final = "X-Swarmd-For"
"""Set by a manager: whose session it passes on."""
FROM: Final = "X-Swarmd-From"
"""Set with it: the IP address that the agent's connection comes from."""
RELAYS_MAX: Final = 1000
"""Sessions passed on at the same time."""

DialManager = Callable[[Door, StreamBounds], Awaitable[FramedStream]]
"""Opens a stream to another manager, having made sure that it is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """What is passed on: a session, unless said otherwise."""

    path: str
    protocol: str = PROTOCOL
    agent_end: StreamBounds = AGENT_END
    manager_end: StreamBounds = MANAGER_END
    headers: Mapping[str, str] = field(default_factory=dict)


class Relay:
    """Passes streams on."""

    def __init__(self, dial: DialManager, clock: Clock) -> None:
        self._dial, self._clock = dial, clock
        self._count = 0

    async def pass_on(
        self, request: web.Request, caller: Caller, leader: str, passage: Passage
    ) -> web.StreamResponse:
        """Answers a request for a stream with one at the manager at ``leader`` (``host:port``), until it ends.

        Raises:
            UnavailableError: the leader cannot be reached from here, either, or refuses, or too much is passed on.
        """
        if self._count >= RELAYS_MAX:
            raise UnavailableError("too many sessions are passed on by this manager")
        self._count += 1
        try:
            theirs = await self._open(caller, leader, passage)
            try:
                ours = accept(request, passage.protocol, passage.manager_end)
            except SwarmdError:
                theirs.abort("the agent is gone")
                raise
            join(ours, theirs)
            try:
                return await self._serve(ours, caller)
            finally:
                theirs.close()
        finally:
            self._count -= 1

    async def _serve(self, stream: FramedStream, caller: Caller) -> web.StreamResponse:
        async with closed_when_expired(stream.close, caller, self._clock):
            return await serve(stream)
        raise AssertionError("it has returned or raised")

    async def _open(self, caller: Caller, leader: str, passage: Passage) -> FramedStream:
        headers = {**passage.headers, FOR: caller.identity.node_id, FROM: caller.address}
        door = Door(address=leader, path=passage.path, protocol=passage.protocol, headers=headers)
        try:
            return await self._dial(door, passage.agent_end)
        except (SwarmdError, OSError) as error:
            raise UnavailableError(f"the manager at {leader} cannot be reached: {error}") from error


def join(one: FramedStream, other: FramedStream) -> None:
    """From now on passes the frames of each on to the other; when one ends, so does the other."""
    there, back = _Direction(one, other), _Direction(other, one)
    one.attach(there.take, ended=lambda _: other.close(), room=back.go_on)
    other.attach(back.take, ended=lambda _: one.close(), room=there.go_on)


class _Direction:
    """Frames from one stream to another. Holds what one read of the source gave, at most."""

    def __init__(self, source: FramedStream, target: FramedStream) -> None:
        self._source, self._target = source, target
        self._waiting: deque[bytes] = deque()

    def take(self, frame: bytes) -> None:
        """A frame has come."""
        if self._waiting or not self._target.send(frame):
            self._waiting.append(frame)
            self._source.pause_reading()

    def go_on(self) -> None:
        """The target has room."""
        while self._waiting and self._target.send(self._waiting[0]):
            self._waiting.popleft()
        if not self._waiting:
            self._source.resume_reading()
