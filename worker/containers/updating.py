"""Changes what a container may use, and its restart policy, while it is (``docker update``)."""

from dataclasses import dataclass

from common.errors import NotImplementedHereError
from worker.containers.record import Container, RestartPolicy
from worker.containers.register import Live


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerUpdate:
    """What is to be another; None stays as it is."""

    nano_cpus: int | None = None
    memory_bytes: int | None = None
    memory_swap_bytes: int | None = None
    memory_reservation_bytes: int | None = None
    pids: int | None = None
    """0 or less is unlimited."""
    cpu_shares: int | None = None
    cpu_period_us: int | None = None
    cpu_quota_us: int | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    blkio_weight: int | None = None
    restart: RestartPolicy | None = None


class Updating:
    """Applies updates."""

    async def update(self, live: Live, wanted: ContainerUpdate) -> Container:
        """Not yet."""
        raise NotImplementedHereError(
            f"update of {live.container.id} is not available yet: {wanted}"
        )
