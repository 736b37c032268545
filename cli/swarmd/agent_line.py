"""The way of this node's agent to the leader: within the process, or over the network."""

import random  # noqa: TID251 - only named as a type
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from common.errors import SwarmdError, UnavailableError
from common.protocol.channel import Channel
from common.protocol.messages import (
    HeartbeatTaken,
    Message,
    NodeTold,
    SessionOpened,
    SessionRefused,
)
from manager.raft.peers import Peer

Dial = Callable[[str], Awaitable[Channel]]
"""Opens a channel to the dispatcher of the manager at ``host:port``."""


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


class Overheard:
    """A channel to a manager of which somebody else hears, too, what is said about the swarm itself."""

    def __init__(
        self,
        channel: Channel,
        note_managers: Callable[[tuple[str, ...]], None],
        note_unwanted: Callable[[str], None],
        note_told: Callable[[NodeTold], None],
    ) -> None:
        """Calls are made before the agent hears.

        ``note_managers`` is told where all managers are, ``note_unwanted`` why this node is no part of the swarm, and
        ``note_told`` what its certificate is to be.
        """
        self._channel = channel
        self._note_managers, self._note_unwanted = note_managers, note_unwanted
        self._note_told = note_told

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
            case _:
                pass
        return message

    def close(self) -> None:
        """Ends both directions."""
        self._channel.close()


async def by_log(manager: KnownLeader, local: Callable[[], Channel], dial: Dial) -> Channel:
    """A channel for the agent of a manager's node: its own manager when that leads, else the leader's.

    Raises:
        UnavailableError: nobody leads, or the leader cannot be reached.
        OSError: the leader cannot be reached.
    """
    if manager.leads:
        return local()
    return await dial(manager.leader().address)


async def by_trying(managers: Sequence[str], dial: Dial, chance: random.Random) -> Channel:
    """A channel for the agent of a worker: to any of the managers it knows, in random order.

    Raises:
        UnavailableError: none of them can be reached, or none leads.
    """
    reason: Exception = UnavailableError("no manager of the swarm is known")
    for address in chance.sample(managers, len(managers)):
        try:
            return await dial(address)
        except (SwarmdError, OSError) as error:
            reason = error
    raise UnavailableError(str(reason)) from reason
