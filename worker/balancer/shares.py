"""The node's published ports among several who each say only what is theirs: tasks, and containers run by hand.

What one holds no other gets. Each share is used as if there were no other.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol as Interface

from common.clock import Clock
from common.model.endpoint import PortConfig, Protocol
from worker.balancer.published_ports import Key, key_of
from worker.balancer.table import Backend, PortFault, PublishedPort

FIRST_WORD_SECONDS_MAX = 10.0
"""How long the first table waits for a share that is expected to have one: what an earlier swarmd published for it
stays meanwhile."""


class Ports(Interface):
    """Whom all of it is said to (``worker.balancer.published_ports`` is it)."""

    async def sync(self, wanted: Sequence[PublishedPort]) -> Sequence[PortFault]:
        """Makes the node publish exactly these."""
        ...

    async def drained(self, backends: Collection[Backend], *, limit_seconds: float) -> bool:
        """Waits until no connection to these is under way."""
        ...


class PortShares:
    """Puts together what all shares want."""

    def __init__(self, ports: Ports, clock: Clock) -> None:
        self._ports, self._clock = ports, clock
        self._shares: list[PortShare] = []
        self._expected: set[PortShare] = set()
        self._turn = asyncio.Lock()
        self._all_spoke = asyncio.Event()
        self._all_spoke.set()

    def share(self, holder: Callable[[Key], str]) -> "PortShare":
        """A new share; ``holder`` names who holds a port of it, for others who want the same."""
        made = PortShare(self, holder)
        self._shares.append(made)
        return made

    def expect(self, share: "PortShare") -> None:
        """It had ports before swarmd was restarted: none are touched until it says which it has now."""
        self._expected.add(share)
        self._all_spoke.clear()

    async def sync(
        self, share: "PortShare", wanted: Iterable[PublishedPort]
    ) -> Sequence[PortFault]:
        """Makes the node publish these of one share, and what the others had before.

        Raises:
            SystemFailureError: the kernel refused.
        """
        self._expected.discard(share)
        if not self._expected:
            self._all_spoke.set()
        await self._others_first_word()
        async with self._turn:
            faults = []
            mine: dict[Key, PublishedPort] = {}
            for port in wanted:
                key = key_of(port)
                other = self._other_holder(share, key)
                if other:
                    faults.append(_held(port, other))
                else:
                    mine[key] = port
            share.table = mine
            everything = [port for one in self._shares for port in one.table.values()]
            found = await self._ports.sync(everything)
            return [*faults, *(fault for fault in found if key_of(fault) in mine)]

    async def drained(self, backends: Collection[Backend], *, limit_seconds: float) -> bool:
        """Waits until no connection to these is under way."""
        return await self._ports.drained(backends, limit_seconds=limit_seconds)

    async def _others_first_word(self) -> None:
        if self._all_spoke.is_set():
            return
        async with asyncio.TaskGroup() as group:
            speaking = group.create_task(self._all_spoke.wait())
            timer = group.create_task(self._clock.sleep(FIRST_WORD_SECONDS_MAX))
            await asyncio.wait((speaking, timer), return_when=asyncio.FIRST_COMPLETED)
            speaking.cancel()
            timer.cancel()
        self._all_spoke.set()

    def _other_holder(self, share: "PortShare", key: Key) -> str:
        for other in self._shares:
            if other is not share:
                for held in other.table:
                    if overlap(held, key):
                        return other.holder(held)
        return ""


class PortShare:
    """Implements ``worker.agent.ports.PublishedPorts`` and ``worker.containers.ports.HostPorts``."""

    def __init__(self, shares: PortShares, holder: Callable[[Key], str]) -> None:
        self._shares = shares
        self.holder = holder
        self.table: dict[Key, PublishedPort] = {}
        """What it has."""

    async def sync(self, wanted: Sequence[PublishedPort]) -> Sequence[PortFault]:
        """Makes the node publish exactly these of this share. Returns what could not be published, and why."""
        return await self._shares.sync(self, wanted)

    async def reserve(self, ports: Sequence[PortConfig]) -> Sequence[PortFault]:
        """Holds these ports ahead of their first backend, until a ``sync`` that does not want them."""
        asked = {
            key_of(port): port
            for port in (
                PublishedPort(protocol=one.protocol, port=one.published_port)
                for one in ports
                if one.published_port
            )
        }
        faults = await self._shares.sync(self, {**asked, **self.table}.values())
        failed = [fault for fault in faults if key_of(fault) in asked]
        for fault in failed:
            self.table.pop(key_of(fault), None)  # nobody holds it here, so another may
        return failed

    async def drained(self, backends: Collection[Backend], *, limit_seconds: float) -> bool:
        """Waits until no connection to these backends is under way; says whether that came before the limit."""
        return await self._shares.drained(backends, limit_seconds=limit_seconds)


def overlap(one: Key, other: Key) -> bool:
    """Whether both cannot be held at a time: the same port, on all addresses or on the same."""
    (protocol, port, address), (other_protocol, other_port, other_address) = one, other
    return (protocol, port) == (other_protocol, other_port) and (
        not address or not other_address or address == other_address
    )


def _held(port: PublishedPort, holder: str) -> PortFault:
    shown = _shown(port.protocol, port.port, port.address)
    return PortFault(
        protocol=port.protocol,
        port=port.port,
        address=port.address,
        reason=f"port {shown} is already allocated to {holder}",
    )


def _shown(protocol: Protocol, port: int, address: str) -> str:
    return f"{address}:{port}/{protocol.value}" if address else f"{port}/{protocol.value}"
