"""Parts of Docker's cluster API that are not there: empty where nothing can exist, else refused by name."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from common.engine_api.http import filters, json_response
from common.errors import NotFoundError, NotImplementedHereError
from manager.api.access import manager_of
from manager.api.ports import SwarmNode

_Handler = Callable[[web.Request], Awaitable[web.Response]]


def not_implemented(what: str) -> _Handler:
    """A handler that says so."""

    async def handler(_request: web.Request) -> web.Response:
        raise NotImplementedHereError(f"{what}: not implemented")

    return handler


class AbsentNoun:
    """The handlers of a kind of object of which there are none, and none can be made as yet."""

    def __init__(self, node: SwarmNode, noun: str, *, filter_names: tuple[str, ...]) -> None:
        self._node, self._noun, self._filter_names = node, noun, filter_names

    async def list(self, request: web.Request) -> web.Response:
        """There are none."""
        manager_of(self._node)
        filters(request, *self._filter_names)
        return json_response([])

    async def find(self, request: web.Request) -> web.Response:
        """There is none of that name."""
        manager_of(self._node)
        raise NotFoundError(f"{self._noun} {request.match_info['id']} not found")

    async def create(self, _request: web.Request) -> web.Response:
        """None can be made."""
        manager_of(self._node)
        raise NotImplementedHereError(f"creating a {self._noun}: not implemented")
