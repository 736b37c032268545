"""The handlers of ``…/exec``: further processes in containers."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from aiohttp import web

from common.engine_api.detach_keys import detach_sequence
from common.engine_api.hijack import Hijacked, hijack, spoken
from common.engine_api.http import json_response, read_json
from common.engine_api.streams import STDERR, frame
from common.engine_json import parse
from common.errors import InvalidInputError, SwarmdError
from worker.api.attach import stream_type
from worker.api.lifecycle import terminal_size
from worker.api.parse.create import console_size
from worker.api.parse.wire import WireExec, WireExecStart
from worker.api.pump import Plan, Why, carry
from worker.containers.engine import LocalEngine
from worker.containers.execs import Exec, ExecConfig, ExecState
from worker.containers.ports import Streams
from worker.containers.record import ContainerState
from worker.runtime.bundle import FurtherProcess

OUTPUT_AFTER_END_SECONDS: Final = 2.0
"""How long what a process has begun may hold its output open, and be silent, after the process itself has ended."""
END_AFTER_OUTPUT_SECONDS: Final = 2.0
"""How long a process that has closed its output may take to end before its client is let go."""


class Execs:
    """Further processes in containers of this node."""

    def __init__(self, engine: LocalEngine) -> None:
        self._engine, self._execs = engine, engine.execs

    async def create(self, request: web.Request) -> web.Response:
        """``POST /containers/{id}/exec``."""
        container = self._engine.find(request.match_info["id"])
        config = exec_config_of(await read_json(request))
        return json_response({"Id": self._execs.create(container.id, config).id}, status=201)

    async def inspect(self, request: web.Request) -> web.Response:
        """``GET /exec/{id}/json``."""
        return json_response(render_exec(self._execs.find(request.match_info["id"])))

    async def resize(self, request: web.Request) -> web.Response:
        """``POST /exec/{id}/resize``."""
        rows, columns = terminal_size(request)
        await self._execs.resize(request.match_info["id"], rows, columns)
        return web.Response(status=200)

    async def start(self, request: web.Request) -> web.StreamResponse:
        """``POST /exec/{id}/start``: runs it; unless it is detached the connection is its streams."""
        found = self._execs.find(request.match_info["id"])
        raw = await read_json(request)
        wanted = parse(WireExecStart, {} if raw is None else raw, "config")
        size = console_size(wanted.console_size)
        if wanted.detach or not self._may_start(found):
            await self._execs.start(found.id, detach=True, console_size=size)
            return web.Response(status=200)
        client = hijack(request, content_type=stream_type(request, tty=wanted.tty))
        try:
            await self._run(client, found, size, framed=not wanted.tty)
            await client.end()
        finally:
            client.abort()
        return spoken()

    def _may_start(self, found: Exec) -> bool:
        """Whether it is refused by a status, not within the stream."""
        container = self._engine.get(found.container_id)
        is_running = container is not None and container.state is ContainerState.RUNNING
        return is_running and found.state is ExecState.CREATED

    async def _run(
        self, client: Hijacked, found: Exec, size: tuple[int, int], *, framed: bool
    ) -> None:
        """Starts it only now: clients lose output that comes together with the head of the answer."""
        try:
            streams = await self._execs.start(found.id, detach=False, console_size=size)
        except SwarmdError as error:  # clients read it where they expect the output
            await _tell(client, str(error), framed=framed)
            return
        if streams is not None:
            try:
                await self._serve(client, found, streams, framed=framed)
            finally:
                streams.close()

    async def _serve(
        self, client: Hijacked, found: Exec, streams: Streams, *, framed: bool
    ) -> None:
        config = found.config
        tty = config.process.tty
        plan = Plan(
            stdin=config.attach_stdin,
            stdout=config.attach_stdout,
            stderr=config.attach_stderr,
            framed=framed,
            closes_input=not tty,
            detach_keys=detach_sequence(config.detach_keys) if tty else b"",
        )
        why = await self._carry(client, found, streams, plan)
        if why is Why.OUTPUT_ENDED:  # who asks for the exit code next is to find it
            with suppress(TimeoutError):
                async with asyncio.timeout(END_AFTER_OUTPUT_SECONDS):
                    await self._execs.wait(found.id)
        elif why is Why.DETACHED:
            self._execs.detached(found.id)

    async def _carry(self, client: Hijacked, found: Exec, streams: Streams, plan: Plan) -> Why:
        """Carries until the output has ended, or the process has and its children only hold the output open."""
        loop = asyncio.get_running_loop()
        watched = Watched(streams)
        carrying = loop.create_task(carry(client, watched, plan))
        ending = loop.create_task(self._execs.wait(found.id))
        try:
            await asyncio.wait((carrying, ending), return_when=asyncio.FIRST_COMPLETED)
            while not carrying.done() and watched.has_news():
                await asyncio.wait((carrying,), timeout=OUTPUT_AFTER_END_SECONDS)
        finally:
            for task in (carrying, ending):
                task.cancel()
            await asyncio.wait((carrying, ending))
        return Why.OUTPUT_ENDED if carrying.cancelled() else carrying.result()


class Watched:
    """Streams of which it can be told whether their reader waits for the process, rather than for its client."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self.write, self.close_input = streams.write, streams.close_input
        self.resize, self.close = streams.resize, streams.close
        self._pieces, self._known, self._waits = 0, -1, False

    async def read(self) -> tuple[int, bytes] | None:
        """As of the streams."""
        self._waits = True
        try:
            return await self._streams.read()
        finally:
            self._waits = False
            self._pieces += 1

    def has_news(self) -> bool:
        """Whether something was read since the last time this was asked, or is on its way to the client."""
        known, self._known = self._known, self._pieces
        return known != self._pieces or not self._waits


async def _tell(client: Hijacked, failure: str, *, framed: bool) -> None:
    data = f"{failure}\r\n".encode()
    with suppress(ConnectionResetError):
        await client.write(frame(STDERR, data) if framed else data)


def exec_config_of(raw: Any) -> ExecConfig:  # noqa: ANN401
    """What a client wants to have run.

    Raises:
        InvalidInputError: it cannot be, in Docker's words.
    """
    if not isinstance(raw, Mapping):
        raise InvalidInputError("invalid JSON: expected an object")
    lists = {
        key: [value] if key.lower() == "cmd" and isinstance(value, str) else value
        for key, value in raw.items()
    }
    wire = parse(WireExec, lists, "config")
    if not wire.cmd:
        raise InvalidInputError("No exec command specified")
    if wire.working_dir and not wire.working_dir.startswith("/"):
        raise InvalidInputError(
            f"the working directory '{wire.working_dir}' is invalid, it needs to be an absolute path"
        )
    for line in wire.env:
        if not line.partition("=")[0]:
            raise InvalidInputError(f"invalid environment variable: {line}")
    detach_sequence(wire.detach_keys)
    return ExecConfig(
        process=FurtherProcess(
            argv=wire.cmd,
            env=wire.env,
            cwd=wire.working_dir,
            user=wire.user,
            privileged=wire.privileged,
            tty=wire.tty,
            console_size=console_size(wire.console_size),
            open_stdin=wire.attach_stdin,
        ),
        attach_stdin=wire.attach_stdin,
        attach_stdout=wire.attach_stdout,
        attach_stderr=wire.attach_stderr,
        detach_keys=wire.detach_keys,
    )


def render_exec(found: Exec) -> dict[str, Any]:
    """``GET /exec/{id}/json``."""
    config = found.config
    process = config.process
    return {
        "ID": found.id,
        "Running": found.state is ExecState.RUNNING,
        "ExitCode": found.exit_code,
        "ProcessConfig": {
            "tty": process.tty,
            "entrypoint": process.argv[0],
            "arguments": list(process.argv[1:]),
            "privileged": process.privileged,
            **({"user": process.user} if process.user else {}),
        },
        "OpenStdin": config.attach_stdin,
        "OpenStderr": config.attach_stderr,
        "OpenStdout": config.attach_stdout,
        "CanRemove": False,
        "ContainerID": found.container_id,
        "DetachKeys": detach_sequence(config.detach_keys).decode("ascii"),
        "Pid": found.pid,
    }
