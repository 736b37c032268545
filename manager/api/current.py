"""Answers that hold everything that was committed before they were asked for; and those that need not."""

from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

from common.engine_api.http import flag
from common.errors import InvalidInputError
from manager.api.ports import SwarmNode

STALE_PARAMETER = "stale"
STALE_HEADER = "X-Swarmd-Stale"
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def about_the_cluster(node: SwarmNode, routes: Iterable[web.RouteDef]) -> list[web.RouteDef]:
    """The routes, each of which first brings this manager's state up to date.

    Changes need that too: a manager that follows must not say "not found" of what another has just created. A GET with
    ``?stale=true``, or the header, takes what this manager has: also where nobody leads.
    """
    return [
        web.RouteDef(route.method, route.path, _current(node, route.handler), route.kwargs)
        for route in routes
    ]


def _current(node: SwarmNode, handler: _Handler) -> _Handler:
    async def current(request: web.Request) -> web.StreamResponse:
        stale = _takes_stale(request)
        if node.manager is not None and not stale:
            await node.manager.store.up_to_date()
        return await handler(request)

    return current


def _takes_stale(request: web.Request) -> bool:
    if request.method not in ("GET", "HEAD"):
        return False
    if STALE_PARAMETER in request.query:
        return flag(request, STALE_PARAMETER)
    text = request.headers.get(STALE_HEADER, "false").lower()
    if text not in ("true", "false"):
        raise InvalidInputError(f"invalid value {text!r} for header {STALE_HEADER}")
    return text == "true"
