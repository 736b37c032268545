"""Changes what a container may use, and its restart policy, while it is (``docker update``)."""

from dataclasses import dataclass, replace
from typing import TypeVar

from common.errors import ConflictError, InvalidInputError, SystemFailureError
from common.model.resources import ResourceRequirements
from worker.containers.ports import AttachingRuntime
from worker.containers.record import (
    Container,
    ContainerConfig,
    ContainerState,
    HostOptions,
    RestartPolicy,
)
from worker.containers.register import Live, Register
from worker.containers.resources import limits_of
from worker.containers.restart_policy import check_policy

T = TypeVar("T")


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

    def __init__(self, register: Register, runtime: AttachingRuntime) -> None:
        self._register, self._runtime = register, runtime

    async def update(self, live: Live, wanted: ContainerUpdate) -> Container:
        """The control group first, then the record: what is recorded is so.

        Raises:
            ConflictError: it is half removed, or options contradict each other.
            InvalidInputError: what is wanted cannot be.
            SystemFailureError: the kernel or the disk refused; all is as it was.
        """
        async with self._register.locked(live):
            before = live.container
            if before.state is ContainerState.DEAD:
                raise ConflictError(
                    f"Cannot update container {before.id}: "
                    'container is marked for removal and cannot be "update"'
                )
            config = updated(before.config, wanted)
            if live.has_process:
                await self._runtime.limit(before.id, limits_of(config))
            try:
                self._register.update(live, replace(live.container, config=config))
            except SystemFailureError:
                if live.has_process:
                    await self._runtime.limit(before.id, limits_of(before.config))
                raise
            await self._register.flush(live)
            self._register.tell(live.container, "update")
            return live.container


def updated(config: ContainerConfig, wanted: ContainerUpdate) -> ContainerConfig:
    """The container's config with what is wanted in it. Pure.

    Raises:
        ConflictError: options contradict each other.
        InvalidInputError: what is wanted cannot be.
    """
    host = _host(config.host, wanted)
    resources = _resources(config.resources, wanted)
    _check_cpu(host, resources)
    memory, swap = resources.limits.memory_bytes, host.memory_swap_bytes
    if wanted.memory_bytes and wanted.memory_swap_bytes is None and 0 < swap < memory:
        raise ConflictError(
            "Memory limit should be smaller than already set memoryswap limit, "
            "update the memoryswap at the same time"
        )
    if 0 < swap < memory:
        raise InvalidInputError(
            "Minimum memoryswap limit should be larger than memory limit, see usage"
        )
    if wanted.restart is not None and config.host.auto_remove:
        raise InvalidInputError(
            "Restart policy cannot be updated because AutoRemove is enabled for the container"
        )
    check_policy(host.restart, auto_remove=host.auto_remove)
    return replace(config, host=host, resources=resources)


def _host(before: HostOptions, wanted: ContainerUpdate) -> HostOptions:
    return replace(
        before,
        memory_swap_bytes=_other(wanted.memory_swap_bytes, before.memory_swap_bytes),
        cpu_shares=_other(wanted.cpu_shares, before.cpu_shares),
        cpu_period_us=_other(wanted.cpu_period_us, before.cpu_period_us),
        cpu_quota_us=_other(wanted.cpu_quota_us, before.cpu_quota_us),
        cpuset_cpus=_other(wanted.cpuset_cpus, before.cpuset_cpus),
        cpuset_mems=_other(wanted.cpuset_mems, before.cpuset_mems),
        blkio_weight=_other(wanted.blkio_weight, before.blkio_weight),
        restart=_other(wanted.restart, before.restart),
    )


def _resources(before: ResourceRequirements, wanted: ContainerUpdate) -> ResourceRequirements:
    limits, reservations = before.limits, before.reservations
    return replace(
        before,
        limits=replace(
            limits,
            nano_cpus=_other(wanted.nano_cpus, limits.nano_cpus),
            memory_bytes=_other(wanted.memory_bytes, limits.memory_bytes),
            pids=max(0, _other(wanted.pids, limits.pids)),
        ),
        reservations=replace(
            reservations,
            memory_bytes=_other(wanted.memory_reservation_bytes, reservations.memory_bytes),
        ),
    )


def _check_cpu(host: HostOptions, resources: ResourceRequirements) -> None:
    if not resources.limits.nano_cpus:
        return
    for name, value in (("Quota", host.cpu_quota_us), ("Period", host.cpu_period_us)):
        if value:
            raise ConflictError(f"Conflicting options: Nano CPUs and CPU {name} cannot both be set")


def _other(wanted: T | None, before: T) -> T:
    return before if wanted is None else wanted
