"""What read_json and the query parameters take, and what they refuse."""

import io
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from common.engine_api import http
from common.engine_api.application import requested_version
from common.engine_api.http import flag, integer, json_response, moment, read_json
from common.errors import ConflictError
from tests.support.api_client import Client, api_client

BODIES = {
    "JSON": (b'{"a": 1}', 200, {"a": 1}),
    "nothing": (b"", 200, None),
    "white space": (b" \n", 200, None),
    "half of it": (b'{"a": ', 400, "invalid JSON: "),
    "more than one value": (b"{} {}", 400, "invalid JSON: "),
    "a constant that is not JSON": (b'{"a": NaN}', 400, "invalid JSON: NaN is not JSON"),
    "not UTF-8": (b'"\xff"', 400, "invalid JSON: "),
    "nesting deeper than any stack": (b"[" * 200_000, 400, "invalid JSON: "),
}


async def _echo(request: web.Request) -> web.Response:
    return json_response(await read_json(request))


async def _query(request: web.Request) -> web.Response:
    read = {"flag": flag, "number": integer, "moment": moment}[request.match_info["kind"]]
    return json_response(read(request, "x"))


async def _version(request: web.Request) -> web.Response:
    return json_response(requested_version(request))


async def _conflict(_request: web.Request) -> web.Response:
    raise ConflictError("taken", hint="take another")


async def _broken(_request: web.Request) -> web.Response:
    raise ZeroDivisionError


async def _broken_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    await response.write(b"half")
    raise ConflictError("the other half is missing")


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    routes = [
        web.post("/echo", _echo),
        web.get("/query/{kind}", _query),
        web.get("/which", _version),
        web.get("/conflict", _conflict),
        web.get("/broken", _broken),
        web.get("/broken-off", _broken_off),
    ]
    async with api_client(routes) as serving:
        yield serving


@pytest.mark.parametrize(("body", "status", "expected"), BODIES.values(), ids=BODIES)
async def test_reads_a_body(client: Client, body: bytes, status: int, expected: object) -> None:
    answer = await client.post("/echo", data=body, headers={"Content-Type": "application/json"})
    assert answer.status == status
    given = await answer.json()
    if status == 200:
        assert given == expected
    else:
        assert given["message"].startswith(expected)


async def test_refuses_a_body_that_is_not_sent_as_json(client: Client) -> None:
    answer = await client.post("/echo", data=b"{}", headers={"Content-Type": "text/plain"})
    assert (answer.status, await answer.json()) == (
        400,
        {
            "message": "unsupported Content-Type header (text/plain): must be 'application/json'",
        },
    )


async def test_takes_json_with_a_charset(client: Client) -> None:
    kind = {"Content-Type": "application/json; charset=utf-8"}
    assert (await client.post("/echo", data=b"[1]", headers=kind)).status == 200


async def test_refuses_a_huge_body_by_its_length_alone(client: Client) -> None:
    body = io.BytesIO(b" " * (http.MAX_JSON_BODY_BYTES + 1))
    kind = {"Content-Type": "application/json"}
    answer = await client.post("/echo", data=body, headers=kind)
    assert answer.status == 413


async def test_refuses_an_endless_body_having_read_no_more_than_the_bound(client: Client) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65536

    kind = {"Content-Type": "application/json"}
    answer = await client.post("/echo", data=endless(), headers=kind)
    assert answer.status == 413


QUERIES = {
    "a true flag": ("flag", "1", True),
    "a false flag": ("flag", "false", False),
    "an absent flag": ("flag", None, False),
    "a number": ("number", "12", 12),
    "Unix seconds": ("moment", "12", 12.0),
    "Unix seconds with nanoseconds": ("moment", "12.500000000", 12.5),
    "RFC 3339": ("moment", "1970-01-01T00:00:12.5Z", 12.5),
    "an absent moment": ("moment", None, None),
}


@pytest.mark.parametrize(("kind", "text", "expected"), QUERIES.values(), ids=QUERIES)
async def test_reads_a_parameter(
    client: Client, kind: str, text: str | None, expected: object
) -> None:
    answer = await client.get(f"/query/{kind}", params={} if text is None else {"x": text})
    assert (answer.status, await answer.json()) == (200, expected)


@pytest.mark.parametrize(
    ("kind", "text"),
    [("flag", "maybe"), ("number", "1.5"), ("number", ""), ("moment", "noon"), ("moment", "1e400")],
)
async def test_refuses_a_parameter(client: Client, kind: str, text: str) -> None:
    answer = await client.get(f"/query/{kind}", params={"x": text})
    assert answer.status == 400
    assert "parameter x" in (await answer.json())["message"]


PATHS = {
    "without a version": ("/which", 200, [1, 50]),
    "with a version": ("/v1.41/which", 200, [1, 41]),
    "too old": ("/v1.23/which", 400, "client version 1.23 is too old"),
    "too new": ("/v1.51/which", 400, "client version 1.51 is too new"),
    "no such page": ("/v1.41/nowhere", 404, "page not found"),
    "an error of ours": ("/conflict", 409, "taken (take another)"),
}


@pytest.mark.parametrize(("path", "status", "expected"), PATHS.values(), ids=PATHS)
async def test_answers_a_path(client: Client, path: str, status: int, expected: object) -> None:
    answer = await client.get(path)
    assert answer.status == status
    given = await answer.json()
    if status == 200:
        assert given == expected
    else:
        assert given["message"].startswith(expected)


async def test_a_get_answers_head_too(client: Client) -> None:
    answer = await client.head("/v1.41/which")
    assert (answer.status, answer.headers["Api-Version"]) == (200, "1.50")


async def test_an_unforeseen_error_is_logged_and_told_as_500(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await client.get("/broken")
    assert (answer.status, await answer.json()) == (
        500,
        {"message": "internal error: see swarmd's log"},
    )
    assert "ZeroDivisionError" in caplog.text


async def test_an_answer_that_fails_midway_is_broken_off(client: Client) -> None:
    answer = await client.get("/broken-off")
    with pytest.raises(aiohttp.ClientPayloadError):
        await answer.read()
