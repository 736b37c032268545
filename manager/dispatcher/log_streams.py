"""The lines of one log request, on their way from an agent to a reader."""

import asyncio
from collections import deque
from collections.abc import Callable

from common.errors import UnavailableError
from common.protocol.messages import LOG_WINDOW, FromManager, LogLine, LogMore


class LogStream:
    """Holds at most ``LOG_WINDOW`` batches: the agent sends another one only for each that was taken."""

    def __init__(self, request_id: str, post: Callable[[FromManager], None]) -> None:
        self.request_id = request_id
        self._post = post
        self._batches: deque[tuple[LogLine, ...]] = deque()
        self._has_ended = False
        self._error: UnavailableError | None = None
        self._changed = asyncio.Event()

    def put(self, lines: tuple[LogLine, ...]) -> bool:
        """Takes a batch from the agent; False when it sent more than it may."""
        if len(self._batches) >= LOG_WINDOW:
            return False
        self._batches.append(lines)
        self._changed.set()
        return True

    def end(self, error: UnavailableError | None = None) -> None:
        """No more will come; ``error`` says why when that is not the plain end."""
        if not self._has_ended:
            self._has_ended, self._error = True, error
            self._changed.set()

    async def take(self) -> tuple[LogLine, ...]:
        """The next batch; () at the end.

        Raises:
            UnavailableError: lines are missing, and why.
        """
        while not self._batches and not self._has_ended:
            self._changed.clear()
            await self._changed.wait()
        if self._batches:
            self._post(LogMore(request_id=self.request_id))
            return self._batches.popleft()
        if self._error is not None:
            raise self._error
        return ()
