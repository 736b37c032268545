"""Ends what was begun with a certificate when that certificate runs out: a newer one begins anew."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Final

from common.clock import Clock
from manager.listener import Caller

LOOK_SECONDS: Final = 600.0
"""How often it is looked whether the certificate of a session has run out: the machine's clock may jump."""

log = logging.getLogger("swarmd.cluster")


@contextlib.asynccontextmanager
async def closed_when_expired(
    close: Callable[[], None], caller: Caller, clock: Clock
) -> AsyncIterator[None]:
    """For as long as what a caller has opened is served: ``close`` ends it once its certificate has run out."""
    async with asyncio.TaskGroup() as group:
        expiring = group.create_task(_close_when_expired(close, caller, clock))
        try:
            yield
        finally:
            expiring.cancel()


async def _close_when_expired(close: Callable[[], None], caller: Caller, clock: Clock) -> None:
    """Closes what a caller has opened once the certificate that it has shown has run out."""
    while (left := caller.expires_at - clock.now()) > 0:
        await clock.sleep(min(left, LOOK_SECONDS))
    log.info("the certificate of a session has run out", extra={"node": caller.identity.node_id})
    close()
