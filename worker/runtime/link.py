"""A connection to the supervisor: requests out, answers to whoever waits for them."""

import asyncio
import itertools
import logging
import socket
import struct
from pathlib import Path

from typing_extensions import override

from common.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    SwarmdError,
    SystemFailureError,
    UnavailableError,
)
from worker.runtime import refusal, wire
from worker.runtime.framed import Framed

logger = logging.getLogger(__name__)

_PEER_FORMAT = "3i"

_ERRORS: dict[str, type[SwarmdError]] = {
    refusal.INVALID: InvalidInputError,
    refusal.CONFLICT: ConflictError,
    refusal.NOT_FOUND: NotFoundError,
    refusal.UNAVAILABLE: UnavailableError,
    refusal.SYSTEM: SystemFailureError,
}


class SupervisorLostError(UnavailableError):
    """The connection ended before the answer came."""

    def __init__(self) -> None:
        super().__init__("the supervisor ended or was replaced")


class Link(Framed):
    """One connection: requests out, answers to whoever waits for them."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: dict[int, asyncio.Future[object]] = {}
        self._numbers = itertools.count(1)
        self.lost = asyncio.Event()

    @override
    def _cannot_read(self, error: wire.FrameError) -> None:
        logger.error("the supervisor's answer cannot be read", exc_info=error)
        self.close()

    @override
    def _take(self, value: object) -> None:
        match value:
            case (int() as number, str() as outcome, answer):
                future = self._waiting.pop(number, None)
            case _:
                raise wire.FrameError(f"not an answer: {value!r}")
        if future is None or future.done():
            return
        if outcome == wire.OK:
            future.set_result(answer)
        else:
            future.set_exception(refused(outcome, answer))

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.lost.set()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(SupervisorLostError())
        self._waiting.clear()

    async def ask(self, verb: str, arguments: object, seconds: float | None) -> object:
        """Sends a request and waits for its answer.

        Raises:
            SwarmdError: what the supervisor answered instead, or that the time was up.
        """
        if self._transport is None:
            raise SupervisorLostError
        number = next(self._numbers)
        try:
            frame = wire.encode_frame((number, verb, arguments))
        except wire.FrameError as error:
            raise InvalidInputError(f"the container's description is too large: {error}") from error
        future = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._transport.write(frame)
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError as error:
            raise SystemFailureError(f"the supervisor did not answer in {seconds} s") from error
        finally:
            self._waiting.pop(number, None)

    def close(self) -> None:
        """Ends the connection now; ``lost`` is set a moment later."""
        self._abort()


def refused(kind: str, message: object) -> SwarmdError:
    """The error that the supervisor's refusal means."""
    return _ERRORS.get(kind, SystemFailureError)(str(message))


def check_root(peer: socket.socket, path: Path) -> None:
    """Makes sure that root serves a socket, before anything is read from it.

    Raises:
        SystemFailureError: somebody else does.
    """
    size = struct.calcsize(_PEER_FORMAT)
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    _, uid, _ = struct.unpack(_PEER_FORMAT, credentials)
    if uid != 0:
        raise SystemFailureError(f"{path} is served by user {uid}, not by root")
