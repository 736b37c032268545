"""Work whose errors its caller takes for a matter of course, without losing the caller's own cancellation.

A task group forgets a cancellation from outside that comes while it deals with an error of its own (mended in Python
3.13). Who catches that error and goes on could then not be ended any more.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def apart(work: Coroutine[Any, Any, T]) -> T:
    """The result of work done in a task of its own, which ends with the caller."""
    task = asyncio.get_running_loop().create_task(work)
    try:
        await asyncio.wait((task,))
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait((task,))
        if not task.cancelled():
            task.exception()  # what it failed with meanwhile is of no interest any more
        raise
    return task.result()
