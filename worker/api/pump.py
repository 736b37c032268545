"""Carries bytes between a client and a process: ``docker attach`` and ``docker exec``.

```
 client ─ read() ─▶ detach keys ─▶ streams.write()      the end of it: close_input, or the end of all
 client ◀─ write() ─ header ◀───── streams.read()       None: the process has no more to say
```

Nothing is held but the pieces under way: a client that does not read makes the process wait, and the other way round.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from common.engine_api.detach_keys import DetachKeys
from common.engine_api.streams import STDERR, STDOUT, frame
from worker.containers.ports import Streams


class Client(Protocol):
    """A connection to a client, raw or of a web socket."""

    async def read(self) -> bytes:
        """What it has sent; b"" once there is no more."""
        ...

    async def write(self, data: bytes) -> None:
        """Sends to it, and waits while it does not read; raises ``ConnectionResetError`` when it is gone."""
        ...

    async def until_gone(self) -> None:
        """Waits for its end."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is carried, and how."""

    stdin: bool
    stdout: bool
    stderr: bool
    framed: bool
    """Each piece of output has a header that says which stream it is of; a terminal's has none."""
    closes_input: bool
    """The end of the client's input is the end of the process's; otherwise it only ends the carrying."""
    detach_keys: bytes = b""
    """Let go when they come; b"" looks for none."""


class Why(Enum):
    """Why it ended."""

    OUTPUT_ENDED = "the process has no more to say"
    DETACHED = "the client has let go with its keys"
    INPUT_ENDED = "the client has no more to say"
    CLIENT_GONE = "the client is gone"


async def carry(client: Client, streams: Streams, plan: Plan) -> Why:
    """Carries to the end. Errors of the streams are raised as they are; the streams stay open."""
    works: list[Coroutine[Any, Any, Why]] = [_output(client, streams, plan), _leaving(client)]
    if plan.stdin:
        works.append(_input(client, streams, plan))
    return await _first_to_end(works)


async def _first_to_end(works: list[Coroutine[Any, Any, Why]]) -> Why:
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return next(task.result() for task in tasks if task in done)


async def _output(client: Client, streams: Streams, plan: Plan) -> Why:
    wanted = {STDOUT: plan.stdout, STDERR: plan.stderr}
    try:
        while (piece := await streams.read()) is not None:
            stream, data = piece
            if wanted[stream]:
                await client.write(frame(stream, data) if plan.framed else data)
    except ConnectionResetError:
        return Why.CLIENT_GONE
    return Why.OUTPUT_ENDED


async def _input(client: Client, streams: Streams, plan: Plan) -> Why:
    keys = DetachKeys(plan.detach_keys) if plan.detach_keys else None
    while data := await client.read():
        passed, is_detached = keys.take(data) if keys else (data, False)
        if passed:
            await streams.write(passed)
        if is_detached:
            return Why.DETACHED
    if keys is not None and (rest := keys.rest()):
        await streams.write(rest)
    if not plan.closes_input:
        return Why.INPUT_ENDED
    await streams.close_input()
    await client.until_gone()
    return Why.CLIENT_GONE


async def _leaving(client: Client) -> Why:
    await client.until_gone()
    return Why.CLIENT_GONE
