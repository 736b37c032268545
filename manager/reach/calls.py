"""On the manager that leads: has a node's agent dial back, and gives the stream to who wanted to reach the node.

```
 who wants it ── open(node) ──▶ Calls ── DialBack(id) by the agent's session ──▶ agent
              ◀── the stream ──        ◀── POST /reached, X-Swarmd-Call: id ────
```

Nodes are never dialled: they need no open port. A call's id is drawn at random, is good for one stream of one node, and
for ``ANSWER_SECONDS_MAX``.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

from common.errors import ForbiddenError, UnavailableError
from common.ids import IdSource
from common.protocol.stream import FramedStream

ANSWER_SECONDS_MAX: Final = 10.0
"""For an agent to dial back."""
CALLS_MAX: Final = 512
"""Streams to nodes at the same time, of one manager."""
CALLS_PER_NODE_MAX: Final = 24
"""Below ``manager.listener.CONNECTIONS_PER_NODE_MAX``: the node's session needs a connection, too."""
TOO_MANY: Final = "too many requests are being handed on to node {}"


class Asker(Protocol):
    """Who speaks to the agents (``manager.dispatcher`` does)."""

    def ask_to_dial_back(self, node_id: str, request_id: str) -> None:
        """Has the agent open a stream of bytes.

        Raises:
            NotLeaderError: another manager has the sessions.
            UnavailableError: the agent is not there, or does not know how.
        """
        ...


class Calls:
    """The calls of one manager that leads."""

    def __init__(self, asker: Asker, new_id: IdSource) -> None:
        self._asker, self._new_id = asker, new_id
        self._waiting: dict[str, tuple[str, asyncio.Future[FramedStream]]] = {}
        self._open: Counter[str] = Counter()

    async def open(self, node_id: str) -> FramedStream:
        """A stream to the engine of that node.

        Raises:
            NotLeaderError: another manager leads (by now).
            UnavailableError: the agent is not there or does not answer in time, or there are too many streams.
        """
        release = self._take_place(node_id)
        call_id, answer = self._new_id(), asyncio.get_running_loop().create_future()
        self._waiting[call_id] = (node_id, answer)
        try:
            self._asker.ask_to_dial_back(node_id, call_id)
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                stream: FramedStream = await answer
        except TimeoutError:
            release()
            _abort(answer)
            raise UnavailableError(
                f"node {node_id} does not answer within {ANSWER_SECONDS_MAX:g} s"
            ) from None
        except BaseException:
            release()
            _abort(answer)
            raise
        finally:
            self._waiting.pop(call_id, None)
        stream.on_end(lambda _: release())
        return stream

    def _take_place(self, node_id: str) -> Callable[[], None]:
        if self._open[node_id] >= CALLS_PER_NODE_MAX or self._open.total() >= CALLS_MAX:
            raise UnavailableError(TOO_MANY.format(node_id))
        self._open[node_id] += 1

        def release() -> None:
            self._open[node_id] -= 1
            if not self._open[node_id]:
                del self._open[node_id]

        return release

    def check(self, call_id: str, node_id: str) -> None:
        """Whether this node was called so.

        Raises:
            ForbiddenError: it was not, or it comes too late.
        """
        waiting = self._waiting.get(call_id)
        if waiting is None or waiting[0] != node_id or waiting[1].done():
            raise ForbiddenError("nobody has called this node, or not so lately")

    def answer(self, call_id: str, node_id: str, stream: FramedStream) -> None:
        """The node has dialled back.

        Raises:
            ForbiddenError: as ``check``.
        """
        self.check(call_id, node_id)
        self._waiting[call_id][1].set_result(stream)


def _abort(answer: "asyncio.Future[FramedStream]") -> None:
    """Nobody wants the stream any more, should it have come in the last moment."""
    if answer.done() and not answer.cancelled():
        answer.result().abort("nobody wants it any more")
