"""Things that happened, as ``GET /events`` tells them: a bounded history and bounded subscriptions."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field

from common.clock import Clock

HISTORY_MAX = 1024
"""Events kept for ``since``."""
SUBSCRIPTION_MAX = 4096
"""Events waiting for one reader; a reader that lags further is cut off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Engine API ``EventMessage``."""

    type: str
    """"container", "image", "service", "node", "network", "secret", "config", "volume", "daemon", "task"."""
    action: str
    actor_id: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    scope: str = "local"
    """"local" for what one node's engine did, "swarm" for the cluster."""
    at: float = 0.0


class EventLog:
    """Where both halves of a node tell what happened."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._history: deque[Event] = deque(maxlen=HISTORY_MAX)
        self._readers: set[asyncio.Queue[Event | None]] = set()

    @property
    def readers(self) -> int:
        """How many read along just now."""
        return len(self._readers)

    def tell(
        self,
        kind: str,
        action: str,
        actor_id: str,
        attributes: Mapping[str, str] | None = None,
        *,
        scope: str = "local",
    ) -> None:
        """Records an event that happened now and hands it to every reader."""
        event = Event(
            type=kind,
            action=action,
            actor_id=actor_id,
            attributes=attributes or {},
            scope=scope,
            at=self._clock.now(),
        )
        self._history.append(event)
        for reader in self._readers:
            if reader.qsize() < SUBSCRIPTION_MAX:
                reader.put_nowait(event)
            elif reader.qsize() == SUBSCRIPTION_MAX:
                reader.put_nowait(None)

    async def read(self, *, since: float | None = None) -> AsyncGenerator[Event, None]:
        """Yields the remembered events from ``since`` on (none when it is None), then each new one.

        Ends when the reader lags by more than ``SUBSCRIPTION_MAX`` events.
        """
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        past = [] if since is None else [event for event in self._history if event.at >= since]
        self._readers.add(queue)
        try:
            for event in past:
                yield event
            while (next_event := await queue.get()) is not None:
                yield next_event
        finally:
            self._readers.discard(queue)

    def past(self, since: float, until: float) -> list[Event]:
        """The remembered events between two moments, both included."""
        return [event for event in self._history if since <= event.at <= until]
