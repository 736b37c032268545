"""An Engine API application served within the test's own process."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from common.engine_api.application import engine_application

Client = TestClient[web.Request, web.Application]


@asynccontextmanager
async def api_client(routes: Iterable[web.RouteDef]) -> AsyncIterator[Client]:
    """A client of an application made of these routes."""
    application = engine_application(routes, server="swarmd/test")
    async with TestClient(TestServer(application)) as client:
        yield client
