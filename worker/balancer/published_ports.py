"""The node's published ports: kernel rules for traffic from elsewhere, open doors for what rules cannot rewrite."""

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Protocol as Interface
from typing import Self, TypeVar

from common.clock import Clock
from common.errors import SwarmdError, SystemFailureError, UnavailableError
from common.model.endpoint import PortConfig, Protocol
from worker.balancer.places import Places
from worker.balancer.relay import Relay
from worker.balancer.reservations import take
from worker.balancer.rules import CHAIN_PREFIX, Table, base_rules, contents, difference
from worker.balancer.table import Backend, PortFault, PublishedPort
from worker.balancer.tcp_door import TcpDoor
from worker.balancer.udp_door import UdpDoor
from worker.kernel import conntrack
from worker.kernel.netfilter import TABLE, Netfilter, lacks
from worker.kernel.table_losses import table_losses

T = TypeVar("T")
Key = tuple[Protocol, int, str]
"""Of a published port: also its address, "" for all of the host's."""
Wish = Mapping[Key, PublishedPort]
Renew = Callable[[], Awaitable[None]]

HANDED_ON_MAX = 1024
"""Connections that swarmd itself hands on at once, of all ports; further ones wait in the backlog."""
DRAIN_LOOK_SECONDS = 0.01
DRAIN_LOOK_SECONDS_MAX = 0.25
"""Between two looks at a backend's connections, longer and longer."""
RENEW_SECONDS = 0.1
"""Between two renewals of deleted rules, whatever somebody does to them meanwhile."""
RENEW_TRIES_MAX = 5
_QUIET_LOOKS = 2
"""Looks in a row that must find none: a packet that was on its way through the rules is tracked by the second."""

_log = logging.getLogger(__name__)


class Door(Interface):
    """How swarmd serves what arrives at a port's own sockets."""

    def lead_to(self, backends: Sequence[Backend]) -> None:
        """From now on, new connections go to these only."""
        ...

    def live(self, backend: Backend) -> int:
        """How many connections to a backend are under way."""
        ...

    def close(self) -> None:
        """Gives the port up."""
        ...


class PublishedPorts:
    """Implements ``worker.agent.ports.PublishedPorts``; an async context, on whose exit the kernel's rules stay."""

    def __init__(self, netfilter: Netfilter, clock: Clock, renew_more: Renew | None = None) -> None:
        """Publishes nothing yet.

        Args:
            netfilter: of the network namespace of the node.
            clock: for waiting.
            renew_more: what else to make anew when somebody has deleted our table: the rules of networks.
        """
        self._renew_more = renew_more
        self._netfilter = netfilter
        self._clock = clock
        self._doors: dict[Key, Door] = {}
        self._wanted: Wish = {}
        self._led_to: Wish = {}
        """Where the doors lead."""
        self._in_kernel: Table | None = None
        """None: not known, so that everything is made anew."""
        self._turn = asyncio.Lock()
        self._places = Places(HANDED_ON_MAX)
        self._relay: Relay | None = None
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="balancer")

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._relay = Relay()
        self._start(self._outlive_flushes())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for door in self._doors.values():
            door.close()
        self._doors.clear()
        if self._relay is not None:
            self._relay.close()
            self._relay = None
        for task in self._tasks:
            task.cancel()
        try:
            if (
                kind is asyncio.CancelledError
            ):  # It may be the group's own, when one of its tasks failed.
                await self._group.__aexit__(kind, error, trace)
            else:
                await self._group.__aexit__(None, None, None)
        finally:
            self._thread.shutdown()

    async def sync(self, wanted: Sequence[PublishedPort]) -> Sequence[PortFault]:
        """Makes the node publish exactly these; ports reserved before and not among them are given up.

        When it returns, new connections go only to the given backends; established ones live on.

        Returns:
            What could not be published, and why.

        Raises:
            SystemFailureError: the kernel refused; the next call makes everything anew.
        """
        async with self._turn:
            return await self._make(merged(wanted))

    async def reserve(self, ports: Sequence[PortConfig]) -> Sequence[PortFault]:
        """Holds these ports ahead of their first backend: until then connections to them are refused.

        They are given up by the next ``sync`` that does not want them.
        """
        asked = {
            (port.protocol, port.published_port, ""): PublishedPort(
                protocol=port.protocol, port=port.published_port
            )
            for port in ports
            if port.published_port
        }
        async with self._turn:
            faults = await self._make({**asked, **self._wanted})
        return [fault for fault in faults if key_of(fault) in asked]

    async def drained(self, backends: Collection[Backend], *, limit_seconds: float) -> bool:
        """Waits until no TCP connection to these backends is under way; says whether that came before the limit.

        For backends that ``sync`` has taken out: their connections become fewer only.
        """
        deadline = self._clock.monotonic() + limit_seconds
        pause, quiet = DRAIN_LOOK_SECONDS, 0
        known: list[conntrack.Connection] = []
        while True:
            quiet = 0 if await self._is_any_live(backends, known) else quiet + 1
            if quiet == _QUIET_LOOKS:
                return True
            left = deadline - self._clock.monotonic()
            if left <= 0:
                return False
            await self._clock.sleep(min(pause, left))
            pause = DRAIN_LOOK_SECONDS if quiet else min(pause * 2, DRAIN_LOOK_SECONDS_MAX)

    async def renew(self) -> None:
        """Makes the rules anew when somebody has deleted some; in good order they stay as they are."""
        async with self._turn:
            present = self._in_kernel
            if present is not None and await self._do(lambda: self._lacks(present)):
                self._in_kernel = None
                await self._make(self._wanted)

    def _lacks(self, present: Table) -> bool:
        return lacks(self._netfilter.contents(), contents(present))

    async def _outlive_flushes(self) -> None:
        async for _ in table_losses(self._netfilter.ports):
            for _ in range(RENEW_TRIES_MAX):
                if await self._renew_all():
                    break
                await self._clock.sleep(RENEW_SECONDS)
            await self._clock.sleep(RENEW_SECONDS)

    async def _renew_all(self) -> bool:
        try:
            if self._renew_more is not None:
                await self._renew_more()
            await self.renew()
        except SwarmdError:
            _log.exception("nftables rules were deleted and could not be made anew")
            return False
        return True

    async def _is_any_live(
        self, backends: Collection[Backend], known: list[conntrack.Connection]
    ) -> bool:
        """Whether a connection is under way; as long as one of ``known`` is, the kernel need not look for others."""
        if any(door.live(backend) for door in self._doors.values() for backend in backends):
            return True

        def look() -> bool:
            if known:
                conntrack.drop_ended(known)
            if not known:
                for backend in backends:
                    known.extend(conntrack.live_tcp(backend.address, backend.port))
            return bool(known)

        return await self._do(look)

    async def _make(self, wanted: Wish) -> Sequence[PortFault]:
        faults = self._open_doors(wanted)
        self._wanted = wanted
        await self._write(_spread({key: wanted[key] for key in wanted if key in self._doors}))
        before = _udp_backends(self._led_to)
        for key, port in wanted.items():
            if key in self._doors:
                self._doors[key].lead_to(port.backends)
        for key in self._doors.keys() - wanted.keys():
            self._doors.pop(key).close()
        self._led_to = wanted
        await self._forget_flows(before - _udp_backends(wanted))
        return faults

    def _open_doors(self, wanted: Iterable[Key]) -> Sequence[PortFault]:
        faults: list[PortFault] = []
        for key in wanted:
            if key in self._doors:
                continue
            try:
                self._doors[key] = self._open(*key)
            except OSError as error:
                faults.append(_fault(key, error))
        return faults

    def _open(self, protocol: Protocol, port: int, address: str) -> Door:
        listeners = take(protocol, port, address)
        if protocol is Protocol.UDP:
            return UdpDoor(listeners, self._clock)
        if self._relay is None:
            raise UnavailableError("published ports are closed")
        return TcpDoor(listeners, self._relay, self._places)

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _write(self, table: Table) -> None:
        present = self._in_kernel
        self._in_kernel = (
            None  # Not known while the kernel is at it, nor when it refused or we are cancelled.
        )
        await self._do(lambda: self._transact(present, table))
        self._in_kernel = table

    def _transact(self, present: Table | None, table: Table) -> None:
        if present is None:
            self._netfilter.run(f"add table {TABLE}")
            stale = [name for name in self._netfilter.contents() if name.startswith(CHAIN_PREFIX)]
            self._netfilter.run(base_rules(TABLE, stale) + difference(TABLE, {}, table))
        elif commands := difference(TABLE, present, table):
            self._netfilter.run(commands)

    async def _forget_flows(self, backends: Collection[Backend]) -> None:
        """A client of UDP that keeps sending would be led to a backend taken out, for as long as it keeps sending."""
        for backend in backends:
            try:
                await self._do(partial(conntrack.forget_udp, backend.address, backend.port))
            except SystemFailureError as error:
                _log.warning(
                    "UDP flows to a removed backend stay until they fall silent",
                    extra={"backend": backend, "reason": error},
                )

    async def _do(self, job: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, job)
        except OSError as error:
            raise SystemFailureError(f"the host's network refused: {error}") from error


def key_of(port: PublishedPort | PortFault) -> Key:
    """What a published port is known by."""
    return port.protocol, port.port, port.address


def merged(ports: Iterable[PublishedPort]) -> Wish:
    """Ports by protocol, number and address, backends in one order, each once: the same wish is the same value."""
    backends: dict[Key, set[Backend]] = {}
    for port in ports:
        backends.setdefault(key_of(port), set()).update(port.backends)
    return {
        (protocol, number, address): PublishedPort(
            protocol=protocol, port=number, backends=tuple(sorted(found)), address=address
        )
        for (protocol, number, address), found in backends.items()
    }


def _spread(wish: Wish) -> Table:
    """What the kernel's rules spread: ports on all addresses."""
    return {
        (protocol, number): port
        for (protocol, number, address), port in wish.items()
        if not address
    }


def _udp_backends(table: Wish) -> frozenset[Backend]:
    return frozenset(
        backend
        for (protocol, _, _), port in table.items()
        if protocol is Protocol.UDP
        for backend in port.backends
    )


def _fault(key: Key, error: OSError) -> PortFault:
    protocol, port, address = key
    taken = error.errno == errno.EADDRINUSE
    shown = f"{address}:{port}" if address else f"{port}"
    reason = (
        f"port {shown}/{protocol.value} is already in use on this host"
        if taken
        else f"port {shown}/{protocol.value} cannot be published: {error.strerror}"
    )
    return PortFault(protocol=protocol, port=port, reason=reason, address=address)
