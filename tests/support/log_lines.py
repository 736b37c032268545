"""Reading logs in tests."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from common.protocol.messages import LogLine


async def copy(lines: AsyncGenerator[LogLine, None], put: Callable[[bytes], None]) -> None:
    """Hands each line on as it comes."""
    async with aclosing(lines):
        async for line in lines:
            put(line.data)
