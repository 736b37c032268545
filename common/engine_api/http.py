"""Reading requests and writing answers: what the handlers of both halves use."""

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from aiohttp import web

from common.durations import seconds
from common.engine_api.filters import Filters, parse_filters
from common.engine_json import from_rfc3339
from common.errors import InvalidInputError, TooLargeError

T = TypeVar("T")

MAX_JSON_BODY_BYTES = 4 * 1024 * 1024
"""A request's JSON; larger ones are refused (413) having read no more than this. Parsed, it may take 25 times that."""
LIST_PART_ITEMS = 200
"""Items of a list that are rendered at a time."""
_UNIX_TIME = re.compile(r"-?\d{1,12}(\.\d{1,9})?")
_TRUE = frozenset({"1", "true", "True", "TRUE", "t", "T", "yes"})
_FALSE = frozenset({"", "0", "false", "False", "FALSE", "f", "F", "no", "none"})


async def read_json(request: web.Request) -> Any:  # noqa: ANN401
    """The request's body as parsed JSON; an empty body is None.

    Raises:
        TooLargeError: more than ``MAX_JSON_BODY_BYTES``.
        InvalidInputError: not JSON, or sent as something else.
    """
    if "Content-Type" in request.headers and request.content_type != "application/json":
        raise InvalidInputError(
            f"unsupported Content-Type header ({request.content_type}): must be 'application/json'"
        )
    body = bytearray()
    if request.content_length is not None and request.content_length > MAX_JSON_BODY_BYTES:
        raise TooLargeError(f"request body too large: over {MAX_JSON_BODY_BYTES} bytes")
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > MAX_JSON_BODY_BYTES:
            raise TooLargeError(f"request body too large: over {MAX_JSON_BODY_BYTES} bytes")
    if not body.strip():
        return None
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"invalid JSON: {error}") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def json_response(value: Any, *, status: int = 200) -> web.Response:  # noqa: ANN401
    """An answer in compact JSON. Its type bears no charset: Docker's client reads errors only without one."""
    return web.Response(body=_json(value), status=status, content_type="application/json")


async def json_list_response(
    request: web.Request, items: Sequence[T], render: Callable[[T], Any]
) -> web.StreamResponse:
    """A list in compact JSON. A long one goes out in parts, so that it is never whole in memory.

    Other work goes on in between, so ``items`` must not be a live collection.
    """
    if len(items) <= LIST_PART_ITEMS:
        return json_response([render(item) for item in items])
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    for start in range(0, len(items), LIST_PART_ITEMS):
        part = [_json(render(item)).strip() for item in items[start : start + LIST_PART_ITEMS]]
        await response.write((b"," if start else b"[") + b",".join(part))
        await asyncio.sleep(0)
    await response.write_eof(b"]\n")
    return response


def _json(value: Any) -> bytes:  # noqa: ANN401
    return (json.dumps(value, separators=(",", ":")) + "\n").encode()


def flag(request: web.Request, name: str, *, default: bool = False) -> bool:
    """A boolean of the query string, as Go's clients write it.

    Raises:
        InvalidInputError: neither true nor false.
    """
    text = request.query.get(name)
    if text is None:
        return default
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise InvalidInputError(
        f"invalid value {text!r} for parameter {name}", hint="use true or false"
    )


def integer(request: web.Request, name: str, *, default: int | None = None) -> int:
    """A whole number of the query string.

    Raises:
        InvalidInputError: absent (with no default) or not a number.
    """
    text = request.query.get(name)
    if text is None or text == "":
        if default is None:
            raise InvalidInputError(f"parameter {name} is missing")
        return default
    try:
        return int(text)
    except ValueError:
        raise InvalidInputError(
            f"invalid value {text!r} for parameter {name}: not a number"
        ) from None


def moment(request: web.Request, name: str) -> float | None:
    """A moment of the query string: Unix seconds with or without a fraction, or RFC 3339; None when absent.

    Raises:
        InvalidInputError: neither.
    """
    text = request.query.get(name, "")
    if text == "":
        return None
    try:
        return float(text) if _UNIX_TIME.fullmatch(text) else from_rfc3339(text)
    except (ValueError, OverflowError):
        raise InvalidInputError(
            f"invalid value {text!r} for parameter {name}", hint="a Unix time or RFC 3339"
        ) from None


def moment_of(text: str, *, now: float) -> float:
    """A moment as filters say it: Unix seconds, RFC 3339, or how long ago it was ("10m", "1h30m").

    Raises:
        InvalidInputError: none of these.
    """
    try:
        return float(text) if _UNIX_TIME.fullmatch(text) else now - seconds(text)
    except ValueError:
        pass
    try:
        return from_rfc3339(text)
    except (ValueError, OverflowError):
        raise InvalidInputError(
            f"invalid time {text!r}", hint="a Unix time, RFC 3339, or a duration such as 24h"
        ) from None


def filters(request: web.Request, *allowed: str) -> Filters:
    """The ``filters`` parameter, restricted to the names that this list knows."""
    return parse_filters(request.query.get("filters"), frozenset(allowed))
