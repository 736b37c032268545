"""What a node in a swarm turns into: a member that was taken in, a worker, no part of the swarm any more."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

from cli.swarmd import joining
from cli.swarmd.life import Life
from cli.swarmd.living import Living, Running
from common.errors import SwarmdError, SystemFailureError
from manager.raft.replicated_log import ReplicatedLog

LEAVE = "leave the swarm to let this node join anew"

log = logging.getLogger("swarmd.node")


async def tend(living: Living, running: Running) -> None:
    """Has this manager added, if it is not yet; then waits to be told that it is one no more."""
    life, manager = running.life, running.life.manager
    try:
        if manager is not None and life.membership.is_joining:
            managers = await joining.until_added(
                living.places.certificates, life.membership, manager.status, living.around
            )
            _note_joined(living, running, managers)
    except SwarmdError as error:
        if running.is_awaited:
            running.joined.set_exception(error)
        else:
            await _become_removed(living, life, str(error))
        return
    reason = await life.parted
    if reason:
        await _become_removed(living, life, f"{reason}; {LEAVE}")
    else:
        await _become_worker(living, life)


def _note_joined(living: Living, running: Running, managers: Sequence[str]) -> None:
    life = running.life
    life.membership = replace(
        life.membership, is_joining=False, managers=tuple(managers) or life.membership.managers
    )
    try:
        living.places.membership.write(life.membership)
    except SystemFailureError as error:
        # The next start asks to be added again, which changes nothing.
        log.warning("cannot remember that this node has joined", extra={"reason": error})
    if not running.joined.done():
        running.joined.set_result(None)


async def _become_removed(living: Living, life: Life, reason: str) -> None:
    """Takes part no longer. Containers go on until this node is told to leave."""
    async with living.changing:
        if not living.is_lived(life):
            return  # it is leaving anyway
        log.error("this node is no part of its swarm any more", extra={"reason": reason})
        await living.stop()
        living.trouble = reason
        living.places.membership.write(replace(life.membership, removed=reason))


async def _become_worker(living: Living, life: Life) -> None:
    """Goes on as a worker; should the node be no part of the swarm any more, a manager will say so."""
    async with living.changing:
        if not living.is_lived(life):
            return  # it is leaving anyway
        before, managers = life.membership, life.other_managers()
        if not managers:
            managers = before.managers
        log.warning(
            "this manager was removed from the replicated log: the node goes on as a worker",
            extra={"node": before.node_id, "managers": " ".join(managers)},
        )
        await living.stop()
        membership = replace(before, member_id="", is_joining=False, managers=managers)
        living.places.membership.write(membership)
        await asyncio.to_thread(living.places.forget_log)
        living.go_on(await living.start(membership, ReplicatedLog.start))
