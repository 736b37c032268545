"""How this node stands to a swarm: begins its lives and ends them, one at a time."""

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from cli.swarmd.life import Life, Start, Surroundings
from cli.swarmd.membership import Membership
from cli.swarmd.places import Places
from common.backoff import delays
from common.errors import SystemFailureError, UnavailableError
from common.keeper import Keeper
from common.model.node import NodeDescription
from common.pki.files import Credentials
from manager.api.ports import LocalState
from manager.raft.key_file import LOCKED

SWARM_EXISTS = (
    "This node is already part of a swarm. "
    'Use "docker swarm leave" to leave this swarm and join another one.'
)

PROMOTE_AGAIN_SECONDS: Final = 1.0
PROMOTE_AGAIN_SECONDS_MAX: Final = 60.0
"""Waits after an attempt to join the managers has failed: the port is taken, the disk is full, they refuse."""

log = logging.getLogger("swarmd.node")


@dataclass(slots=True, kw_only=True)
class Running:
    """A membership that is being lived."""

    life: Life
    task: asyncio.Task[None]
    joined: asyncio.Future[None]
    """Done once the swarm has taken it in; an error when it never will, for whoever waits."""
    tending: asyncio.Task[None] | None = None
    is_awaited: bool = False
    """Whether the request to join still waits for ``joined``."""

    async def end(self) -> None:
        """Ends it in order; containers go on."""
        tasks = {self.task}
        if self.tending is not None and self.tending is not asyncio.current_task():
            tasks.add(self.tending)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


class Promotions:
    """When a worker that is to be a manager tries to be one, after attempts that have failed."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self.succeed()

    def succeed(self) -> None:
        """The next attempt may come at once."""
        self._again_at = -math.inf
        self._waits = delays(PROMOTE_AGAIN_SECONDS, PROMOTE_AGAIN_SECONDS_MAX, self._around.chance)

    def fail(self) -> None:
        """The next attempt comes later than the one before did."""
        self._again_at = self._around.clock.monotonic() + next(self._waits)

    def wait_seconds(self) -> float:
        """How long the next attempt has to wait."""
        return max(0.0, self._again_at - self._around.clock.monotonic())


class Living:
    """What a node's way into a swarm, through it and out of it have in common. At most one life is ``running``."""

    def __init__(
        self,
        around: Surroundings,
        tend: "Callable[[Living, Running], Coroutine[Any, Any, None]]",
    ) -> None:
        """``tend`` is run beside each life: it is told to end, or to become another one."""
        self.around = around
        self.places = Places(around.data_root / "swarm")
        self.running: Running | None = None
        self.trouble = ""
        """Why it is no working part of the swarm that it remembers."""
        self.locked: Membership | None = None
        """What it goes on with once somebody unlocks its keys."""
        self.keeper = Keeper()
        self.changing = asyncio.Lock()
        """Held by whoever changes how it stands."""
        self.promotions = Promotions(around)
        self._tend = tend

    def state(self) -> LocalState:
        """How it stands to a swarm."""
        if self.running is None:
            return self._state_of_none()
        life = self.running.life
        if life.trouble():
            return LocalState.ERROR
        is_new = life.membership.is_joining and not life.membership.is_promoted
        return LocalState.PENDING if is_new else LocalState.ACTIVE

    def error(self) -> str:
        """Why it is no working part of its swarm."""
        if self.running is not None:
            return self.running.life.trouble()
        return LOCKED if self.locked is not None else self.trouble

    def _state_of_none(self) -> LocalState:
        if self.locked is not None:
            return LocalState.LOCKED
        return LocalState.ERROR if self.trouble else LocalState.INACTIVE

    def refuse_in_a_swarm(self) -> None:
        """Raises UnavailableError unless this node is in no swarm."""
        if self.running is not None or self.locked is not None:
            raise UnavailableError(SWARM_EXISTS)
        if self.trouble:
            raise UnavailableError(f"{SWARM_EXISTS} {self.trouble}")

    def is_lived(self, life: Life) -> bool:
        """Whether this is the life that is lived: another one may have begun while somebody waited."""
        return self.running is not None and self.running.life is life

    # ------------------------------------------------------------------------ lives

    async def start(self, membership: Membership, start: Start) -> Running:
        """Begins to live a membership; nothing of it runs when this raises."""
        life = Life(self.around, self.places, membership)
        task = self.keeper.spawn(life.run(start))
        await life.started
        return Running(life=life, task=task, joined=asyncio.get_running_loop().create_future())

    def go_on(self, running: Running) -> None:
        """From now on this is how the node stands."""
        self.running, self.trouble, self.locked = running, "", None
        if not running.life.membership.is_joining:
            running.joined.set_result(None)
        running.tending = self.keeper.spawn(self._tend(self, running))

    async def stop(self) -> None:
        """Ends the life that is lived, if there is one; containers go on."""
        if self.running is not None:
            running, self.running = self.running, None
            await running.end()

    # ------------------------------------------------------------------------ what is kept

    def write_certificate(self, credentials: Credentials) -> None:
        """Keeps what this node shows to the others, on disk when this returns.

        Raises:
            SystemFailureError: the disk refused.
        """
        try:
            self.places.make()
            self.places.certificates.write(credentials)
        except OSError as error:
            raise SystemFailureError(
                f"cannot keep this node's certificate: {error.strerror or error}"
            ) from error

    async def forget(self) -> None:
        """Takes away what is left of a swarm that it is not in: its tasks' containers, its log, its certificate."""
        self.around.worker.show_trust(None)
        await self.around.worker.forget_tasks()
        await asyncio.to_thread(self.places.forget)

    def describe(self) -> NodeDescription:
        """What this machine is and has."""
        return self.around.worker.describe()
