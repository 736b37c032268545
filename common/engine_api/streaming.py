"""Answers without an end of their own: they end when the client leaves."""

import asyncio
from collections.abc import Coroutine

from aiohttp import web

DISCONNECT_CHECK_SECONDS = 1.0
"""How often a stream that has nothing to write looks whether its client is still there."""


async def while_connected(request: web.Request, work: Coroutine[None, None, None]) -> None:
    """Does ``work`` to its end, or cancels it when the client has gone. Errors of ``work`` are raised as they are."""
    async with asyncio.TaskGroup() as group:
        doing = group.create_task(_outcome(work))
        leaving = group.create_task(_until_gone(request))
        await asyncio.wait((doing, leaving), return_when=asyncio.FIRST_COMPLETED)
        doing.cancel()
        leaving.cancel()
    if not doing.cancelled() and (error := doing.result()) is not None:
        raise error


async def _outcome(work: Coroutine[None, None, None]) -> Exception | None:
    """The error that ``work`` ended with, kept from the group, which would wrap it."""
    try:
        await work
    except ConnectionResetError:
        return None
    except Exception as error:  # noqa: BLE001 - handed on, not swallowed
        return error
    return None


async def _until_gone(request: web.Request) -> None:
    while is_connected(request):  # noqa: ASYNC110 - aiohttp has nothing to wait for here
        await asyncio.sleep(DISCONNECT_CHECK_SECONDS)


def is_connected(request: web.Request) -> bool:
    """Whether the client is still there."""
    return request.transport is not None and not request.transport.is_closing()
