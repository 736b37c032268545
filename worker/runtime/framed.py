"""A connection on which frames of the supervisor arrive."""

import asyncio
from abc import ABC, abstractmethod
from typing import cast

from typing_extensions import override

from worker.runtime import wire


class Framed(asyncio.Protocol, ABC):
    """Takes frames apart; who inherits says what each means, and what follows when they cannot be read."""

    def __init__(self) -> None:
        self._reader = wire.FrameReader()
        self._transport: asyncio.Transport | None = None

    @abstractmethod
    def _take(self, value: object) -> None:
        """What came.

        Raises:
            FrameError: it means nothing.
        """

    @abstractmethod
    def _cannot_read(self, error: wire.FrameError) -> None:
        """The supervisor has said what means nothing."""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(
            "asyncio.Transport", transport
        )  # uvloop's are not of asyncio's classes

    @override
    def data_received(self, data: bytes) -> None:
        try:
            for value in self._reader.feed(data):
                self._take(value)
        except wire.FrameError as error:
            self._cannot_read(error)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def _abort(self) -> None:
        """Ends the connection now, unless it has ended: asyncio does not take that twice."""
        if self._transport is not None:
            self._transport.abort()
