"""The way of this node's agent to the leader: within the process, or over the network."""

import random  # noqa: TID251 - only named as a type
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from common.errors import SwarmdError, UnavailableError
from common.protocol.channel import Channel
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
    raise UnavailableError(f"no manager can be reached: {reason}") from reason
