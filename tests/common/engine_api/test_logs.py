"""How log lines travel: framed or raw, with times and details when asked for."""

import pytest
from aiohttp import web

from common.engine_api.logs import LogResponse, log_options
from common.engine_api.streams import STDERR, STDOUT, SYSTEM_ERROR, frame
from tests.support.api_client import api_client

AT = 1_700_000_000.5
TIME = b"2023-11-14T22:13:20.500000000Z "
DETAILS = {"b": "x y", "a": "1"}


def _routes(*, tty: bool) -> list[web.RouteDef]:
    async def logs(request: web.Request) -> web.StreamResponse:
        options = log_options(request)
        answer = await LogResponse.begin(request, options, tty=tty)
        await answer.line("stdout", AT, b"hello\n", DETAILS)
        await answer.line("stderr", AT, b"oops\n")
        await answer.fault("node n1 is gone")
        return await answer.end()

    return [web.get("/logs", logs)]


FAULT = b"Error grabbing logs: node n1 is gone\n"
CASES = {
    "framed": (
        False,
        "",
        frame(STDOUT, b"hello\n") + frame(STDERR, b"oops\n") + frame(SYSTEM_ERROR, FAULT),
    ),
    "raw, for a terminal": (True, "", b"hello\noops\n" + FAULT),
    "with times": (True, "&timestamps=1", TIME + b"hello\n" + TIME + b"oops\n" + FAULT),
    "with details": (True, "&details=1", b"a=1,b=x+y hello\n oops\n" + FAULT),
    "the time before the details": (
        True,
        "&details=1&timestamps=1",
        TIME + b"a=1,b=x+y hello\n" + TIME + b" oops\n" + FAULT,
    ),
}
TYPES = {
    "/v1.41/logs": "application/vnd.docker.raw-stream",
    "/v1.42/logs": "application/vnd.docker.multiplexed-stream",
}
REFUSED = {
    "no stream": ("", "Bad parameters: you must choose at least one stream"),
    "a tail in words": ("stdout=1&tail=ten", "tail value must be a positive integer"),
    "a negative tail": ("stdout=1&tail=-1", "tail value must be a positive integer"),
    "a tail beyond all numbers": (f"stdout=1&tail={'9' * 5000}", "tail value must be"),
}


@pytest.mark.parametrize(("tty", "query", "expected"), CASES.values(), ids=CASES)
async def test_writes(query: str, expected: bytes, *, tty: bool) -> None:
    async with api_client(_routes(tty=tty)) as client:
        answer = await client.get("/logs?stdout=1" + query)
        assert await answer.read() == expected


@pytest.mark.parametrize(("path", "expected"), TYPES.items())
async def test_names_the_multiplexed_type_to_clients_that_know_it(path: str, expected: str) -> None:
    async with api_client(_routes(tty=False)) as client:
        answer = await client.get(path + "?stderr=1")
        assert answer.headers["Content-Type"] == expected


@pytest.mark.parametrize(("query", "expected"), REFUSED.values(), ids=REFUSED)
async def test_refuses(query: str, expected: str) -> None:
    async with api_client(_routes(tty=False)) as client:
        answer = await client.get("/logs?" + query)
        assert answer.status == 400
        assert (await answer.json())["message"].startswith(expected)
