"""A request's body to a file, bounded, without holding the loop."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from common.errors import TooLargeError

BATCH_BYTES = 1024 * 1024


async def spool(chunks: AsyncIterator[bytes], path: Path, *, bytes_max: int) -> int:
    """Writes what comes to a new file; gives its size.

    Raises:
        TooLargeError: more than ``bytes_max``; reading stopped there.
        OSError: the disk said no.
    """
    total, batch = 0, bytearray()
    with await asyncio.to_thread(path.open, "xb") as file:
        async for chunk in chunks:
            total += len(chunk)
            if total > bytes_max:
                raise TooLargeError(f"the archive is larger than {bytes_max} bytes")
            batch += chunk
            if len(batch) >= BATCH_BYTES:
                await asyncio.to_thread(file.write, bytes(batch))
                batch.clear()
        await asyncio.to_thread(file.write, bytes(batch))
    return total
