"""Published ports without a kernel."""

from collections.abc import Collection, Sequence

from common.model.endpoint import PortConfig
from worker.balancer.table import Backend, PortFault, PublishedPort


class FakePorts:
    """``worker.agent.ports.PublishedPorts``: remembers the table, and tells of it among the ``calls``."""

    def __init__(self, calls: list[str] | None = None) -> None:
        self.calls: list[str] = [] if calls is None else calls
        self.table: tuple[PublishedPort, ...] = ()
        self.taken: set[int] = set()
        """Ports that a process of the host holds."""
        self.errors: list[Exception] = []

    async def sync(self, wanted: Sequence[PublishedPort]) -> Sequence[PortFault]:
        if self.errors:
            raise self.errors.pop(0)
        self.table = tuple(wanted)
        shown = " ".join(
            f"{port.port}->{','.join(backend.address for backend in port.backends)}"
            for port in wanted
        )
        self.calls.append(f"publish {shown}".rstrip())
        return [self._fault(port) for port in wanted if port.port in self.taken]

    async def reserve(self, ports: Sequence[PortConfig]) -> Sequence[PortFault]:
        return [
            self._fault(PublishedPort(protocol=port.protocol, port=port.published_port))
            for port in ports
            if port.published_port in self.taken
        ]

    async def drained(self, backends: Collection[Backend], *, limit_seconds: float) -> bool:
        if backends:
            shown = ",".join(sorted(backend.address for backend in backends))
            self.calls.append(f"drain {shown} {limit_seconds:g}")
        return True

    @staticmethod
    def _fault(port: PublishedPort) -> PortFault:
        return PortFault(
            protocol=port.protocol,
            port=port.port,
            reason=f"port {port.port}/{port.protocol} is already in use on this host",
        )
