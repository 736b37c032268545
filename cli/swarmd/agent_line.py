"""The way of this node's agent to the leader: within the process, over the network, or through another manager.

A manager that does not lead names the one that does. Where that one cannot be dialled from here, the manager that was
reached passes the session on (``manager/relay.py``).
"""

import asyncio
import random  # noqa: TID251 - only named as a type
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final, Generic, Protocol, TypeVar

from cli.swarmd.asking import MISDIRECTED, leader_in
from common.clock import Clock
from common.errors import SwarmdError, UnavailableError
from common.protocol.channel import Channel
from common.protocol.messages import (
    DialBack,
    HeartbeatTaken,
    Message,
    NodeTold,
    SessionOpened,
    SessionRefused,
)
from common.protocol.upgrade import UpgradeRefusedError
from manager.raft.peers import Peer
from manager.relay import PASS_ON


class Closable(Protocol):
    """What is opened: a channel for a session, or a stream of bytes."""

    def close(self) -> None:
        """Ends it."""
        ...


C = TypeVar("C", bound=Closable)
Dial = Callable[[str, Mapping[str, str]], Awaitable[C]]
"""Opens one to the manager at ``host:port``; the request bears these headers."""
Way = Callable[[], Awaitable[C]]

NEXT_WAY_SECONDS: Final = 0.5
"""How long one way to a manager is tried alone before the next one is tried beside it (at least half of it)."""
PASSED_ON: Final = {PASS_ON: "1"}


class KnownLeader(Protocol):
    """What is asked of this node's manager."""

    @property
    def leads(self) -> bool:
        """Whether it leads."""
        ...

    def leader(self) -> Peer:
        """Who leads, as far as it knows.

        Raises:
            NoLeaderError: it knows of none.
        """
        ...

    def other_addresses(self) -> tuple[str, ...]:
        """``host:port`` of the other managers, as far as it knows."""
        ...


class Overheard:
    """A channel to a manager of which somebody else hears, too, what is said about the swarm itself."""

    def __init__(
        self,
        channel: Channel,
        note_managers: Callable[[tuple[str, ...]], None],
        note_unwanted: Callable[[str], None],
        note_told: Callable[[NodeTold], None],
        note_call: Callable[[DialBack], None],
    ) -> None:
        """Calls are made before the agent hears.

        ``note_managers`` is told where all managers are, ``note_unwanted`` why this node is no part of the swarm,
        ``note_told`` what its certificate is to be, and ``note_call`` that somebody wants to speak to its engine.
        """
        self._channel = channel
        self._note_managers, self._note_unwanted = note_managers, note_unwanted
        self._note_told, self._note_call = note_told, note_call

    async def send(self, message: Message) -> None:
        """Sends; waits while the other side is behind."""
        await self._channel.send(message)

    async def receive(self) -> Message:
        """The next message."""
        message = await self._channel.receive()
        match message:
            case SessionOpened(managers=managers) | HeartbeatTaken(managers=managers):
                if managers:
                    self._note_managers(managers)
            case SessionRefused(reason=reason, is_final=True):
                self._note_unwanted(reason)
            case NodeTold():
                self._note_told(message)
            case DialBack():
                self._note_call(message)
            case _:
                pass
        return message

    def close(self) -> None:
        """Ends both directions."""
        self._channel.close()


class Line(Generic[C]):
    """Opens channels to the manager that leads, by whatever way there is."""

    def __init__(self, dial: Dial[C], clock: Clock, chance: random.Random) -> None:
        self._dial, self._clock, self._chance = dial, clock, chance

    async def by_log(self, manager: KnownLeader, local: Callable[[], C]) -> C:
        """A channel for the agent of a manager's node: its own manager when that leads, else the leader's.

        Raises:
            UnavailableError: nobody leads, or the leader cannot be reached by any way.
            OSError: the same.
        """
        if manager.leads:
            return local()
        leader = manager.leader().address
        others = [address for address in manager.other_addresses() if address != leader]
        ways = [partial(self._dial, leader, {})]
        ways += [partial(self._dial, address, PASSED_ON) for address in self._shuffled(others)]
        return await self._first(ways)

    async def by_trying(self, managers: Sequence[str]) -> C:
        """A channel for the agent of a worker: by any of the managers it knows, in random order.

        Raises:
            UnavailableError: none of them can be reached, or none leads.
            OSError: the same.
        """
        if not managers:
            raise UnavailableError("no manager of the swarm is known")
        return await self._first(
            [partial(self._by_way_of, address) for address in self._shuffled(managers)]
        )

    async def _by_way_of(self, address: str) -> C:
        """To this manager, to the one that it says leads, or to that one through this one."""
        try:
            return await self._dial(address, {})
        except UpgradeRefusedError as error:
            leader = leader_in(error.message) if error.status == MISDIRECTED else ""
            if not leader:
                raise
        return await self._first(
            [partial(self._dial, leader, {}), partial(self._dial, address, PASSED_ON)]
        )

    def _shuffled(self, addresses: Sequence[str]) -> list[str]:
        return self._chance.sample(addresses, len(addresses))

    async def _first(self, ways: Sequence[Way[C]]) -> C:
        """The channel that comes first. The next way is begun when the one before has failed or takes its time."""
        race = _Race[C]()
        try:
            async with asyncio.TaskGroup() as group:
                runners = []
                for way in ways:
                    runners.append(group.create_task(race.run(way)))
                    await self._for_a_while(runners[-1], race.is_won)
                    if race.is_won.is_set():
                        break
                while not race.is_won.is_set() and any(not runner.done() for runner in runners):
                    await asyncio.wait(
                        [runner for runner in runners if not runner.done()],
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                for runner in runners:
                    runner.cancel()
        except BaseException:
            race.close()
            raise
        return race.result()

    async def _for_a_while(self, runner: asyncio.Task[None], is_won: asyncio.Event) -> None:
        """Until this runner is done, another one has won, or it is time for one more."""
        seconds = self._chance.uniform(NEXT_WAY_SECONDS / 2, NEXT_WAY_SECONDS)
        async with asyncio.TaskGroup() as group:
            pause = group.create_task(self._clock.sleep(seconds))
            won = group.create_task(_until(is_won))
            await asyncio.wait((runner, pause, won), return_when=asyncio.FIRST_COMPLETED)
            pause.cancel()
            won.cancel()


async def _until(event: asyncio.Event) -> None:
    await event.wait()


class _Race(Generic[C]):
    """Several attempts at one channel: the first to come is kept, any further one is closed."""

    def __init__(self) -> None:
        self.is_won = asyncio.Event()
        self._channel: C | None = None
        self._errors: list[Exception] = []

    async def run(self, way: Way[C]) -> None:
        try:
            channel = await way()
        except (SwarmdError, OSError) as error:
            self._errors.append(error)
            return
        if self._channel is not None:
            channel.close()
            return
        self._channel = channel
        self.is_won.set()

    def close(self) -> None:
        """Nobody wants the channel any more."""
        if self._channel is not None:
            self._channel.close()

    def result(self) -> C:
        """The channel; raises what the first attempt failed with where there is none."""
        if self._channel is None:
            raise self._errors[0]
        return self._channel
