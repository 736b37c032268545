"""What a node in a swarm turns into: a member that was taken in, a manager, a worker, no part of the swarm any more."""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any

from cli.swarmd import joining
from cli.swarmd.life import LEAVE, Life
from cli.swarmd.living import Living, Running
from cli.swarmd.membership import Membership
from cli.swarmd.placing import new_member_id
from common.errors import SwarmdError, SystemFailureError
from manager.raft.replicated_log import ReplicatedLog

log = logging.getLogger("swarmd.node")


async def tend(living: Living, running: Running) -> None:
    """Has this manager added, if it is not yet; then waits until another life is to be lived."""
    life = running.life
    if life.membership.is_joining:
        added = await _until_added(living, life)
        if isinstance(added, SwarmdError):
            await _not_added(living, running, added)
            return None
        if added is not None:
            _note_joined(living, running, added)
    while True:
        if life.unwanted:
            return await _become_removed(living, life, f"{life.unwanted}; {LEAVE}")
        if life.is_out_of_log or life.is_taken_back():
            return await _become_worker(living, life)
        wait = living.promotions.wait_seconds() if life.is_to_manage() else None
        if wait == 0:
            return await _become_manager(living, life)
        await life.news.wait(wait)


# ------------------------------------------------------------------------------------------ joining


async def _until_added(living: Living, life: Life) -> Sequence[str] | SwarmdError | None:
    """All managers' addresses once this one is added, or why it never is; None: it was promoted, and is not to be."""
    assert life.manager is not None, "only a manager joins the log"  # noqa: S101 - our own mistake
    adding = living.keeper.spawn(_outcome(joining.until_added(life, life.manager, living.around)))
    adding.add_done_callback(lambda _: life.news.ring())
    try:
        while not adding.done():
            if life.membership.is_promoted and _ends(life):
                return None
            await life.news.wait()
        return adding.result()
    finally:
        adding.cancel()
        await asyncio.wait((adding,))


def _ends(life: Life) -> bool:
    return bool(life.unwanted) or life.is_out_of_log or life.is_taken_back()


async def _outcome(
    work: Coroutine[Any, Any, Sequence[str]],
) -> Sequence[str] | SwarmdError:
    try:
        return await work
    except SwarmdError as error:
        return error


async def _not_added(living: Living, running: Running, error: SwarmdError) -> None:
    life = running.life
    if running.is_awaited:
        running.joined.set_exception(error)
    elif life.membership.is_promoted:
        log.warning("this node cannot join the managers yet", extra={"reason": error})
        living.promotions.fail()
        await _become_worker(living, life)
    else:
        await _become_removed(living, life, str(error))


def _note_joined(living: Living, running: Running, managers: Sequence[str]) -> None:
    life = running.life
    if life.membership.is_promoted:
        log.info("this node is a manager now", extra={"node": life.membership.node_id})
    life.membership = replace(
        life.membership,
        is_joining=False,
        is_promoted=False,
        managers=tuple(managers) or life.membership.managers,
    )
    living.promotions.succeed()
    try:
        living.places.membership.write(life.membership)
    except SystemFailureError as error:
        # The next start asks to be added again, which changes nothing.
        log.warning("cannot remember that this node has joined", extra={"reason": error})
    if not running.joined.done():
        running.joined.set_result(None)


# -------------------------------------------------------------------------------------------- turns


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
            "this node is no manager any more: it goes on as a worker",
            extra={"node": before.node_id, "managers": " ".join(managers)},
        )
        await living.stop()
        living.go_on(await as_worker(living, replace(before, managers=managers)))


async def as_worker(living: Living, before: Membership) -> Running:
    """Begins to live as a worker, which has no log.

    Raises:
        SystemFailureError: the disk refuses.
    """
    membership = replace(before, member_id="", is_joining=False, is_promoted=False)
    await asyncio.to_thread(living.places.vault.release)
    living.places.membership.write(membership)
    await asyncio.to_thread(living.places.forget_log)
    return await living.start(membership, ReplicatedLog.start)


async def _become_manager(living: Living, life: Life) -> None:
    """Goes on as a worker that joins the managers, under an id in the log that no manager has had before."""
    async with living.changing:
        if not living.is_lived(life):
            return  # it is leaving anyway
        before = life.membership
        log.info("this node is to be a manager", extra={"node": before.node_id})
        await living.stop()
        membership = replace(
            before,
            member_id=new_member_id(living.around.chance),
            is_joining=True,
            is_promoted=True,
        )
        try:
            await asyncio.to_thread(living.places.forget_log)  # should a disk have kept an old one
            living.places.membership.write(membership)
        except SystemFailureError as error:
            log.warning("this node cannot be a manager yet", extra={"reason": error})
            living.promotions.fail()
            living.go_on(await living.start(before, ReplicatedLog.start))
            return
        living.go_on(await promoted(living, membership))


async def resumed(living: Living, membership: Membership) -> Running:
    """Begins to live what was remembered.

    Raises:
        SystemFailureError: the disk refuses, the log is damaged, or the address is taken.
    """
    if membership.is_promoted:
        return await promoted(living, membership)
    return await living.start(membership, ReplicatedLog.start)


async def promoted(living: Living, membership: Membership) -> Running:
    """Begins to live as a worker that joins the managers, or goes on as a mere worker where that cannot be now.

    Raises:
        SystemFailureError: the disk refuses.
    """
    try:
        return await living.start(membership, ReplicatedLog.start)
    except SwarmdError as error:
        log.warning("this node cannot be a manager yet", extra={"reason": error})
        living.promotions.fail()
        return await as_worker(living, membership)
