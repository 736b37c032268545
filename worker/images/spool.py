"""A request's body to a file, bounded, without holding the loop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from common.errors import SystemFailureError, TooLargeError

T = TypeVar("T")

BATCH_BYTES = 1024 * 1024


async def spool(chunks: AsyncIterator[bytes], path: Path, *, bytes_max: int) -> int:
    """Writes what comes to a new file; gives its size.

    Raises:
        TooLargeError: more than ``bytes_max``; reading stopped there.
        SystemFailureError: the disk said no.
    """
    total, batch = 0, bytearray()
    with await in_thread(path.open, "xb") as file:
        async for chunk in chunks:
            total += len(chunk)
            if total > bytes_max:
                raise TooLargeError(f"the archive is larger than {bytes_max} bytes")
            batch += chunk
            if len(batch) >= BATCH_BYTES:
                await in_thread(file.write, bytes(batch))
                batch.clear()
        await in_thread(file.write, bytes(batch))
    return total


async def in_thread(work: Callable[..., T], *args: object) -> T:
    """Does what blocks.

    Raises:
        SystemFailureError: the disk said no.
    """
    with _disk_errors():
        return await asyncio.to_thread(work, *args)


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SystemFailureError(f"the disk of images: {error}") from error
