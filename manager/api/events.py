"""``GET /events``: what both halves of this node told, as it happens."""

import asyncio
import json
import math
from contextlib import aclosing, suppress

from aiohttp import web

from common.clock import Clock
from common.engine_api.filters import Filters
from common.engine_api.http import filters, moment
from common.engine_api.streaming import while_connected
from common.events import Event, EventLog
from manager.api.render.event import render_event

EVENT_FILTERS = (
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "service",
    "type",
    "volume",
)
_BY_ACTOR = (
    "config",
    "container",
    "daemon",
    "network",
    "node",
    "plugin",
    "secret",
    "service",
    "volume",
)
_WITH_DETAIL = frozenset({"health_status", "exec_create", "exec_start", "exec_die"})
"""Actions that go on after a colon ("health_status: healthy"): a filter names their beginning."""


class Events:
    """The handler of ``/events``."""

    def __init__(self, events: EventLog, clock: Clock) -> None:
        self._events, self._clock = events, clock

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """One JSON object a line; ends at ``until``, or when the client leaves or lags too far behind."""
        wanted = filters(request, *EVENT_FILTERS)
        since, until = moment(request, "since"), moment(request, "until")
        if since is None and until is not None:
            since = 0.0
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)

        async def write() -> None:
            now = self._clock.now()
            if until is not None and until <= now:
                for event in self._events.past(since or 0.0, until):
                    await _write(response, wanted, event)
                return
            limit = math.inf if until is None else until - now
            async with asyncio.timeout(None if limit == math.inf else limit):
                async with aclosing(self._events.read(since=since)) as events:
                    async for event in events:
                        await _write(response, wanted, event)

        with suppress(TimeoutError):  # ``until`` has come
            await while_connected(request, write())
        await response.write_eof()
        return response


async def _write(response: web.StreamResponse, wanted: Filters, event: Event) -> None:
    if shows_event(wanted, event):
        line = json.dumps(render_event(event), separators=(",", ":")) + "\n"
        await response.write(line.encode())


def shows_event(wanted: Filters, event: Event) -> bool:
    """Whether the filters let this event through, as Docker's do."""
    name = event.attributes.get("name", "")
    return (
        wanted.accepts("type", lambda kind: kind == event.type)
        and wanted.accepts("scope", lambda scope: scope == event.scope)
        and wanted.accepts("event", lambda action: _is_action(action, event.action))
        and all(wanted.accepts_prefix(kind, [event.actor_id, name]) for kind in _BY_ACTOR)
        and wanted.accepts("image", lambda image: _is_image(image, event))
        and wanted.accepts_labels(event.attributes)
    )


def _is_action(wanted: str, action: str) -> bool:
    return action == wanted or (wanted in _WITH_DETAIL and action.startswith(wanted))


def _is_image(wanted: str, event: Event) -> bool:
    image = event.attributes.get("name" if event.type == "image" else "image", "")
    untagged = image.rpartition(":")[0] if "/" not in image.rpartition(":")[2] else image
    return wanted in (event.actor_id, image, untagged)
