"""Parts of Docker's cluster API that are not there: refused by name."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from common.errors import NotImplementedHereError

_Handler = Callable[[web.Request], Awaitable[web.Response]]


def not_implemented(what: str) -> _Handler:
    """A handler that says so."""

    async def handler(_request: web.Request) -> web.Response:
        raise NotImplementedHereError(f"{what}: not implemented")

    return handler
