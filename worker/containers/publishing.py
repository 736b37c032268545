"""Ports of the host that containers run by hand publish (``docker run -p``): each held while its container runs."""

import itertools
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace

from common.clock import Clock
from common.errors import ConflictError, SwarmdError
from common.model.endpoint import Protocol
from worker.balancer.table import Backend, PortFault, PublishedPort
from worker.containers.ports import HostPorts
from worker.containers.record import Container, HostOptions, PortBinding

log = logging.getLogger("swarmd.containers")

DYNAMIC_PORTS = range(32_768, 61_000)
"""For bindings that name no port of the host: Linux's ephemeral range, as Docker's."""
DYNAMIC_TRIES_MAX = 64
RETRY_SECONDS = 5.0
"""Between two tries to publish anew what an earlier swarmd had published."""
_EVERYWHERE = ("", "0.0.0.0")  # noqa: S104 - a published port is published on all addresses


class Publishing:
    """Who has which port, and the wish that follows from it."""

    def __init__(self, ports: HostPorts) -> None:
        self._ports = ports
        self._held: dict[str, Container] = {}
        self._next = DYNAMIC_PORTS.start

    async def open(self, container: Container) -> tuple[PortBinding, ...]:
        """Publishes what a container wants, ahead of its start; gives it with the ports of the host that it got.

        Raises:
            ConflictError: a port is another's, who is named.
            SystemFailureError: the kernel refused; nothing of it is published.
        """
        wanted = bindings_of(container)
        given = tuple(binding for binding in wanted if binding.host_port)
        fault = await self._try(container, (), given) if given else None
        for binding in wanted:
            if not binding.host_port and fault is None:
                found, fault = await self._any(container, given, binding)
                given = (*given, *found)
        if fault is None:
            return given
        await self.close(container.id)
        raise ConflictError(
            f"driver failed programming external connectivity on endpoint {container.config.name}: "
            f"{fault.reason}"
        )

    async def _any(
        self, container: Container, given: tuple[PortBinding, ...], wanted: PortBinding
    ) -> tuple[tuple[PortBinding, ...], PortFault | None]:
        fault = None
        for _ in range(DYNAMIC_TRIES_MAX):
            tried = replace(wanted, host_port=self._draw())
            fault = await self._try(container, given, (tried,))
            if fault is None:
                return (tried,), None
        return (), fault

    async def _try(
        self, container: Container, given: tuple[PortBinding, ...], more: tuple[PortBinding, ...]
    ) -> PortFault | None:
        """Why more cannot be published beside what it has; None when it is."""
        ports = published(container, more)
        fault = self._clash(container, published(container, given), ports)
        if fault is not None:
            return fault
        self._held[container.id] = replace(container, ports=(*given, *more))
        try:
            faults = await self._sync()
        except SwarmdError:
            await self.close(container.id)
            raise
        mine = [fault for fault in faults if any(_is_of(fault, port) for port in ports)]
        if mine:
            self._held[container.id] = replace(container, ports=given)
        return mine[0] if mine else None

    def _clash(
        self, container: Container, own: list[PublishedPort], ports: list[PublishedPort]
    ) -> PortFault | None:
        for place, port in enumerate(ports):
            for other in self._held.values():
                if other.id != container.id and _clashes(port, published(other, other.ports)):
                    return _fault(port, f"container {other.config.name}")
            if _clashes(port, (*own, *ports[:place])):
                return _fault(port, "this container itself")
        return None

    async def close(self, container_id: str) -> None:
        """Publishes nothing of a container any more; may be called again."""
        if self._held.pop(container_id, None) is None:
            return
        try:
            await self._sync()
        except SwarmdError:  # the next change makes everything anew
            log.exception("ports of a container are still published", extra={"id": container_id})

    def adopt(self, container: Container) -> None:
        """It runs since before swarmd was restarted; ``go_on`` publishes its ports anew."""
        if container.ports:
            self._held[container.id] = container

    async def go_on(self, clock: Clock) -> None:
        """Publishes anew what an earlier swarmd had published, and takes away what has ended since."""
        known: list[str] = []
        while True:
            try:
                faults = await self._sync()
            except SwarmdError:
                log.exception("ports of containers are not published again yet")
            else:
                if not faults:
                    return
                reasons = [fault.reason for fault in faults]
                if reasons != known:
                    log.warning("not published: %s", "; ".join(reasons))
                known = reasons
            await clock.sleep(RETRY_SECONDS)

    def holder(self, protocol: Protocol, port: int, address: str) -> str:
        """Who holds a port, for others who want it."""
        asked = PublishedPort(protocol=protocol, port=port, address=address)
        for held in self._held.values():
            if _clashes(asked, published(held, held.ports)):
                return f"container {held.config.name}"
        return "a container"

    async def _sync(self) -> Sequence[PortFault]:
        wanted = [port for held in self._held.values() for port in published(held, held.ports)]
        return await self._ports.sync(wanted)

    def _draw(self) -> int:
        """The next port that no container has; when all are taken, the next one."""
        held = {binding.host_port for one in self._held.values() for binding in one.ports}
        first, start = self._next, DYNAMIC_PORTS.start
        ahead = itertools.chain(range(first, DYNAMIC_PORTS.stop), range(start, first))
        drawn = next((port for port in ahead if port not in held), self._next)
        self._next = drawn + 1 if drawn + 1 in DYNAMIC_PORTS else DYNAMIC_PORTS.start
        return drawn


class NoHostPorts:
    """Where nothing can be published."""

    async def sync(self, wanted: Sequence[PublishedPort]) -> Sequence[PortFault]:
        """Publishes nothing, and says so."""
        return [_fault(port, "nobody: ports cannot be published here") for port in wanted]


def bindings_of(container: Container) -> tuple[PortBinding, ...]:
    """What is to be published of a container: its bindings and, with ``-P``, each exposed port that has none."""
    config = container.config
    if config.network != "bridge" or config.task_id:
        return ()
    host = config.host
    return (*host.port_bindings, *_implied(host)) if host.publish_all_ports else host.port_bindings


def _implied(host: HostOptions) -> Iterable[PortBinding]:
    bound = {(binding.port, binding.protocol) for binding in host.port_bindings}
    for exposed in host.exposed_ports:
        number, _, protocol = exposed.partition("/")
        if number.isdigit() and (int(number), protocol or "tcp") not in bound:
            yield PortBinding(port=int(number), protocol=protocol or "tcp")


def published(container: Container, bindings: Iterable[PortBinding]) -> list[PublishedPort]:
    """Bindings as the node's published ports."""
    return [
        PublishedPort(
            protocol=Protocol(binding.protocol),
            port=binding.host_port,
            backends=(Backend(address=container.attachment.address, port=binding.port),),
            address="" if binding.host_ip in _EVERYWHERE else binding.host_ip,
        )
        for binding in bindings
    ]


def _clashes(wanted: PublishedPort, others: Iterable[PublishedPort]) -> bool:
    return any(
        (other.protocol, other.port) == (wanted.protocol, wanted.port)
        and (not other.address or not wanted.address or other.address == wanted.address)
        for other in others
    )


def _is_of(fault: PortFault, port: PublishedPort) -> bool:
    return (fault.protocol, fault.port, fault.address) == (port.protocol, port.port, port.address)


def _fault(port: PublishedPort, holder: str) -> PortFault:
    at = port.address or "0.0.0.0"  # noqa: S104 - as Docker says it
    return PortFault(
        protocol=port.protocol,
        port=port.port,
        address=port.address,
        reason=f"Bind for {at}:{port.port} failed: port is already allocated to {holder}",
    )
