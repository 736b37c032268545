"""The handlers of ``…/attach`` and ``…/attach/ws``: a client and a container's first process, bytes both ways."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from common.engine_api.application import requested_version
from common.engine_api.detach_keys import detach_sequence
from common.engine_api.hijack import hijack, spoken
from common.engine_api.http import flag
from common.engine_api.logs import MULTIPLEXED_STREAM, RAW_STREAM
from common.engine_api.streams import STDERR, STDOUT, frame
from common.errors import InvalidInputError
from worker.api.pump import Client, Plan, Why, carry
from worker.api.web_socket import WebSocketClient
from worker.containers.engine import LocalEngine
from worker.containers.log_lines import LogQuery
from worker.containers.ports import Streams
from worker.containers.record import Container

MULTIPLEXED_TYPE_SINCE: Final = (1, 42)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachOptions:
    """What a client wants to be attached to."""

    logs: bool
    stream: bool
    stdin: bool
    stdout: bool
    stderr: bool
    detach_keys: bytes

    @classmethod
    def of(cls, request: web.Request) -> "AttachOptions":
        """Reads the query string.

        Raises:
            InvalidInputError: a value that cannot be.
        """
        given = {
            name: flag(request, name) for name in ("logs", "stream", "stdin", "stdout", "stderr")
        }
        return cls(**given, detach_keys=detach_sequence(request.query.get("detachKeys", "")))


def stream_type(request: web.Request, *, tty: bool) -> str:
    """The content type of an answer that is a stream: clients of old versions know only one."""
    is_told = not tty and requested_version(request) >= MULTIPLEXED_TYPE_SINCE
    return MULTIPLEXED_STREAM if is_told else RAW_STREAM


class Attach:
    """Attaching to containers of this node."""

    def __init__(self, engine: LocalEngine) -> None:
        self._engine = engine

    async def attach(self, request: web.Request) -> web.StreamResponse:
        """``POST /containers/{id}/attach``."""
        container = self._engine.find(request.match_info["id"])
        options = AttachOptions.of(request)
        async with self._attached(container, options) as streams:
            tty = container.config.spec.tty
            client = hijack(request, content_type=stream_type(request, tty=tty))
            try:
                await self._serve(client, container, options, streams, framed=not tty)
                await client.end()
            finally:
                client.abort()
        return spoken()

    async def attach_web_socket(self, request: web.Request) -> web.StreamResponse:
        """``GET /containers/{id}/attach/ws``: the same over a web socket, and never with headers."""
        container = self._engine.find(request.match_info["id"])
        options = AttachOptions.of(request)
        if not any((options.stdin, options.stdout, options.stderr)):
            raise InvalidInputError("Bad parameters: you must choose at least one stream")
        async with self._attached(container, options) as streams:
            client = WebSocketClient(reads=options.stdin)
            async with client.listening(request):
                await self._serve(client, container, options, streams, framed=False)
        return client.socket

    @asynccontextmanager
    async def _attached(
        self, container: Container, options: AttachOptions
    ) -> AsyncIterator[Streams | None]:
        """Attached before the answer: what the container writes from then on is not missed."""
        if not options.stream:
            yield None
            return
        streams = await self._engine.attach(
            container.id,
            with_input=options.stdin,
            with_output=options.stdout or options.stderr,
        )
        try:
            yield streams
        finally:
            streams.close()

    async def _serve(
        self,
        client: Client,
        container: Container,
        options: AttachOptions,
        streams: Streams | None,
        *,
        framed: bool,
    ) -> None:
        try:
            if options.logs:
                await self._replay(client, container, options, framed=framed)
        except ConnectionResetError:
            return
        if streams is None:
            return
        tty = container.config.spec.tty
        plan = Plan(
            stdin=options.stdin and container.config.spec.open_stdin,
            stdout=options.stdout,
            stderr=options.stderr,
            framed=framed,
            closes_input=container.config.host.stdin_once and not tty,
            detach_keys=options.detach_keys if tty else b"",
        )
        if await carry(client, streams, plan) is Why.DETACHED:
            self._engine.detached(container.id)

    async def _replay(
        self, client: Client, container: Container, options: AttachOptions, *, framed: bool
    ) -> None:
        """What it has written before, as its log has it."""
        query = LogQuery(stdout=options.stdout, stderr=options.stderr)
        numbers = {"stdout": STDOUT, "stderr": STDERR}
        async with aclosing(self._engine.logs(container.id, query)) as records:
            async for record in records:
                data = record.data
                await client.write(frame(numbers[record.stream], data) if framed else data)
