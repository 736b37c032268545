"""Logs as the Engine API sends them: of a container, a task or a service alike."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote_plus

from aiohttp import web

from common.engine_api.application import requested_version
from common.engine_api.http import flag, moment
from common.engine_api.streams import STDERR, STDOUT, SYSTEM_ERROR, frame
from common.engine_json import rfc3339
from common.errors import InvalidInputError

RAW_STREAM = "application/vnd.docker.raw-stream"
MULTIPLEXED_STREAM = "application/vnd.docker.multiplexed-stream"
_MULTIPLEXED_TYPE_SINCE = (1, 42)
_NUMBER = re.compile(r"[0-9]{1,18}")
_STREAMS = {"stdout": STDOUT, "stderr": STDERR}


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """Which lines a client wants, and how. ``tail`` -1 is all; ``since`` and ``until`` 0.0 are unbounded."""

    stdout: bool
    stderr: bool
    follow: bool = False
    timestamps: bool = False
    details: bool = False
    tail: int = -1
    since: float = 0.0
    until: float = 0.0


def log_options(request: web.Request) -> LogOptions:
    """Reads the query string of ``…/logs``.

    Raises:
        InvalidInputError: neither stream is asked for, or a value is not what it should be.
    """
    stdout, stderr = flag(request, "stdout"), flag(request, "stderr")
    if not (stdout or stderr):
        raise InvalidInputError("Bad parameters: you must choose at least one stream")
    return LogOptions(
        stdout=stdout,
        stderr=stderr,
        follow=flag(request, "follow"),
        timestamps=flag(request, "timestamps"),
        details=flag(request, "details"),
        tail=_tail(request.query.get("tail", "all")),
        since=moment(request, "since") or 0.0,
        until=moment(request, "until") or 0.0,
    )


def _tail(text: str) -> int:
    if text in ("", "all"):
        return -1
    if not _NUMBER.fullmatch(text):
        raise InvalidInputError('tail value must be a positive integer or "all"')
    return int(text)


class LogResponse:
    """An answer that log lines are written to; each write waits for the client to take it."""

    def __init__(self, response: web.StreamResponse, options: LogOptions, *, tty: bool) -> None:
        self._response, self._options, self._tty = response, options, tty

    @classmethod
    async def begin(cls, request: web.Request, options: LogOptions, *, tty: bool) -> Self:
        """Sends the headers: a raw stream for a container with a terminal, else a multiplexed one."""
        multiplexed = not tty and requested_version(request) >= _MULTIPLEXED_TYPE_SINCE
        response = web.StreamResponse(
            headers={"Content-Type": MULTIPLEXED_STREAM if multiplexed else RAW_STREAM}
        )
        response.enable_chunked_encoding()
        await response.prepare(request)
        return cls(response, options, tty=tty)

    async def line(
        self, stream: str, at: float, data: bytes, details: Mapping[str, str] | None = None
    ) -> None:
        """Writes one line: its time and details before it where the client asked for them.

        Raises:
            ConnectionResetError: the client is gone.
        """
        text = data
        if self._options.details:
            text = _details(details or {}) + b" " + text
        if self._options.timestamps:
            text = rfc3339(at).encode() + b" " + text
        await self._write(_STREAMS[stream], text)

    async def fault(self, reason: str) -> None:
        """Tells the client, within the stream, that lines are missing."""
        await self._write(SYSTEM_ERROR, f"Error grabbing logs: {reason}\n".encode())

    async def end(self) -> web.StreamResponse:
        """Ends the stream and gives what the handler returns."""
        await self._response.write_eof()
        return self._response

    async def _write(self, stream: int, data: bytes) -> None:
        await self._response.write(data if self._tty else frame(stream, data))


def _details(details: Mapping[str, str]) -> bytes:
    pairs = (f"{quote_plus(key)}={quote_plus(details[key])}" for key in sorted(details))
    return ",".join(pairs).encode()
