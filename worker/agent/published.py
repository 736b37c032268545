"""Pure: the node's published ports, out of its tasks and how they fare."""

from collections.abc import Iterable
from dataclasses import dataclass

from common.model.endpoint import PortConfig, Protocol
from common.model.task import TaskState
from worker.balancer.table import Backend, PublishedPort


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveTask:
    """What a published port needs to know of a task."""

    ports: tuple[PortConfig, ...]
    """With the port of the host that each one got; those still at 0 are left out."""
    state: TaskState
    is_wanted: bool
    """Not to be stopped: neither unwanted, nor failing, nor being stopped."""
    address: str
    """"" while its container has none."""


def published_ports(tasks: Iterable[LiveTask]) -> tuple[PublishedPort, ...]:
    """Gives every port that a task holds, with those tasks as backends that are RUNNING (so: healthy) and wanted.

    A port is held from PREPARING on, before its first backend, so that nobody else takes it.
    """
    table: dict[tuple[Protocol, int], set[Backend]] = {}
    for task in tasks:
        if not TaskState.PREPARING <= task.state <= TaskState.RUNNING:
            continue
        answers = task.state is TaskState.RUNNING and task.is_wanted and task.address
        for port in task.ports:
            if not port.published_port:
                continue
            backends = table.setdefault((port.protocol, port.published_port), set())
            if answers:
                backends.add(Backend(address=task.address, port=port.target_port))
    return tuple(
        PublishedPort(protocol=protocol, port=number, backends=tuple(sorted(backends)))
        for (protocol, number), backends in sorted(table.items())
    )
