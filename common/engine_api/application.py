"""The aiohttp application that serves the routes of both halves on every listener of a node."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web
from aiohttp.typedefs import Middleware

from common.engine_api.errors import status_of
from common.engine_api.http import json_response
from common.engine_api.streaming import is_connected
from common.errors import InvalidInputError, SwarmdError

API_VERSION = "1.50"
MIN_API_VERSION = "1.24"
CLIENT_LEFT = 499
"""Status of an answer that nobody waits for any more."""
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logging.getLogger("swarmd.api")


def engine_application(
    routes: Iterable[web.RouteDef], *, server: str, elsewhere: Middleware | None = None
) -> web.Application:
    """One application out of the routes of both halves.

    Routes are written without a version; each answers with and without ``/vX.YY`` before it. ``server`` is the value
    of the ``Server`` header; ``elsewhere`` hands requests on to other nodes. Bodies are streamed: none is in memory
    unless its handler reads it (``read_json`` is bounded).
    """
    middlewares = [_answer_errors, _check_version, *([elsewhere] if elsewhere else [])]
    application = web.Application(middlewares=middlewares)
    for route in routes:
        for prefix in ("", r"/v{api_version:\d+\.\d+}"):
            web.RouteDef(route.method, prefix + route.path, route.handler, route.kwargs).register(
                application.router
            )

    async def headers(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Server"] = server
        response.headers["Api-Version"] = API_VERSION
        response.headers["Ostype"] = "linux"
        response.headers["Docker-Experimental"] = "false"

    application.on_response_prepare.append(headers)
    return application


def requested_version(request: web.Request) -> tuple[int, int]:
    """The API version that the request's path names, or ours."""
    major, _, minor = request.match_info.get("api_version", API_VERSION).partition(".")
    return int(major), int(minor)


@web.middleware
async def _check_version(request: web.Request, handler: _Handler) -> web.StreamResponse:
    version = requested_version(request)
    text = ".".join(map(str, version))
    if version < _numbers(MIN_API_VERSION):
        raise InvalidInputError(
            f"client version {text} is too old. Minimum supported API version is {MIN_API_VERSION}, "
            "please upgrade your client to a newer version"
        )
    if version > _numbers(API_VERSION):
        raise InvalidInputError(
            f"client version {text} is too new. Maximum supported API version is {API_VERSION}"
        )
    return await handler(request)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


@web.middleware
async def _answer_errors(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except asyncio.CancelledError:
        raise
    except Exception as error:  # noqa: BLE001 - told to the client, and logged unless foreseen
        if not is_connected(request):
            return web.Response(status=CLIENT_LEFT)  # for nobody
        answer = _error_response(request, error)
        if request.writer.output_size > 0:
            log.warning("answer broken off", extra={"path": request.path, "reason": str(error)})
            _cut_off(request)
        return answer


def _error_response(request: web.Request, error: Exception) -> web.Response:
    match error:
        case web.HTTPNotFound():
            return json_response({"message": "page not found"}, status=404)
        case web.HTTPException():
            return json_response({"message": error.reason}, status=error.status)
        case SwarmdError():
            return json_response({"message": str(error)}, status=status_of(error))
        case _:
            where = {"method": request.method, "path": request.path}
            log.error("request failed", exc_info=error, extra=where)
            return json_response({"message": "internal error: see swarmd's log"}, status=500)


def _cut_off(request: web.Request) -> None:
    """Ends the connection: in the midst of an answer an error can only be told by breaking it off."""
    if request.transport is not None:
        request.transport.close()
