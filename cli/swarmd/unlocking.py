"""How a manager whose keys are locked goes on."""

import asyncio
import logging

from cli.swarmd.living import Living
from cli.swarmd.turning import resumed
from common.errors import ConflictError, InvalidInputError
from common.pki.lock import Lock, WrongKeyError

NOT_LOCKED = "swarm is not locked"
WRONG_KEY = "swarm could not be unlocked: invalid key provided"

log = logging.getLogger("swarmd.node")


async def unlock(living: Living, key: str) -> None:
    """``SwarmNode.unlock``, for whoever holds ``living.changing``."""
    membership, vault = living.locked, living.places.vault
    if membership is None:
        raise ConflictError(NOT_LOCKED)
    lock = Lock.parse(key)
    try:
        await asyncio.to_thread(vault.unlock, lock)
        living.go_on(await resumed(living, membership))
    except WrongKeyError:
        raise InvalidInputError(WRONG_KEY) from None
    except BaseException:
        vault.forget()
        raise
    log.info("unlocked this manager", extra={"node": membership.node_id})
