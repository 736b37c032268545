"""Pages of the Engine API that this node does not have, refused by what they are for."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NoReturn

from aiohttp import web
from aiohttp.typedefs import Handler

from common.errors import NotImplementedHereError

PAGES: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
    {
        ("GET", "/images/get"): "saving images",
        ("GET", "/images/{name:.+}/get"): "saving images",
        ("POST", "/images/{name:.+}/push"): "pushing images",
        ("GET", "/images/search"): "searching registries",
        ("POST", "/auth"): "logging in to registries",
        ("POST", "/build"): "building images",
    }
)
"""What each would do."""


def routes() -> list[web.RouteDef]:
    """One for each of them."""
    return [web.route(method, path, _refusing(what)) for (method, path), what in PAGES.items()]


def _refusing(what: str) -> Handler:
    async def refuse(_: web.Request) -> NoReturn:
        raise NotImplementedHereError(f"{what} is not available yet")

    return refuse
