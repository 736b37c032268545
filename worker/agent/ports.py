"""What the agent needs of the rest of the worker, and no more."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Protocol

from common.model.endpoint import PortConfig
from worker.balancer.table import Backend, PortFault, PublishedPort
from worker.containers.files import ContainerFile
from worker.containers.log_lines import LogQuery, LogRecord
from worker.containers.record import Container, ContainerConfig


class Containers(Protocol):
    """The local engine, as the agent sees it (``worker.containers.engine`` is it)."""

    async def create(self, config: ContainerConfig) -> Container:
        """Makes a container ready to start. The same name with the same task again gives the one that exists.

        When it is cancelled the container may come to be nevertheless, and is told of by ``changed`` then.

        Raises:
            NotFoundError: "No such image: x:1".
            InvalidInputError: the spec asks for something that cannot be.
            SystemFailureError: the machine refused.
        """
        ...

    async def start(self, container_id: str, files: Sequence[ContainerFile] = ()) -> Container:
        """Runs it, with one of ``files`` for each secret and config of its spec; one that runs stays as it is."""
        ...

    async def stop(self, container_id: str, *, grace_seconds: float) -> Container:
        """Stop signal, then SIGKILL to all of it after the grace. Returns when it has ended; ended already is fine."""
        ...

    async def let_run_until(self, moments: Mapping[str, tuple[float, float]]) -> None:
        """Has containers stopped, and killed, at these moments since the machine's start, also when swarmd is dead.

        Said again it is put off; a container that is gone is fine.
        """
        ...

    async def remove(self, container_id: str) -> None:
        """Takes away everything of it but named volumes; one that is gone already is fine. Kills it if it runs."""
        ...

    def get(self, container_id: str) -> Container | None:
        """How it stands now."""
        ...

    def all(self) -> Sequence[Container]:
        """All containers of this node."""
        ...

    def changed(self) -> AsyncIterator[Container]:
        """Each container whenever its state or health changes; slow readers get only the latest of each."""
        ...

    def logs(self, container_id: str, query: LogQuery) -> AsyncIterator[LogRecord]:
        """Lines of its log, oldest first; with ``follow`` until it has ended and been read to the end."""
        ...


class PublishedPorts(Protocol):
    """The node's published ports (``worker.balancer`` is it). Level-triggered."""

    async def sync(self, wanted: Sequence[PublishedPort]) -> Sequence[PortFault]:
        """Makes the node publish exactly these. When it returns, new connections go only to the given backends.

        Returns what could not be published and why (a port taken by a process of the host).
        """
        ...

    async def reserve(self, ports: Sequence[PortConfig]) -> Sequence[PortFault]:
        """Tries to take the listening sockets of these ports, ahead of the first backend."""
        ...

    async def drained(self, backends: Collection[Backend], *, limit_seconds: float) -> bool:
        """Waits until no connection to these backends is under way; says whether that came before the limit.

        For backends that ``sync`` has taken out.
        """
        ...
