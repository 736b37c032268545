"""What a container may use: ``Resources`` of a create or an update. Pure."""

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Final

from common.errors import InvalidInputError, NotImplementedHereError
from common.model.resources import Limit, ResourceRequirements, Resources
from worker.api.parse.wire import WireResources, WireUpdate
from worker.containers.updating import ContainerUpdate

MEMORY_MIN: Final = 6 * 1024 * 1024
"""Docker takes no less: a runtime itself needs that much."""
SWAPPINESS_MAX: Final = 100
BLKIO_WEIGHTS: Final = range(10, 1001)
CPU_PERIODS_US: Final = range(1_000, 1_000_001)
CPU_QUOTA_US_MIN: Final = 1_000
CPU_SHARES_MIN: Final = 2
CPU_SHARES_MAX: Final = 262_144
NANO: Final = 1_000_000_000
NANO_CPUS_MIN: Final = NANO // 100
CPUSET_CHARACTERS_MAX: Final = 4096
_CPUSET: Final = re.compile(r"\d{1,5}(-\d{1,5})?(,\d{1,5}(-\d{1,5})?)*")

_NOT_HERE: Final = (
    "blkio_device_read_bps",
    "blkio_device_read_iops",
    "blkio_device_write_bps",
    "blkio_device_write_iops",
    "blkio_weight_device",
    "cgroup_parent",
    "cpu_realtime_period",
    "cpu_realtime_runtime",
    "kernel_memory",
    "kernel_memory_tcp",
)
_WINDOWS: Final = ("cpu_count", "cpu_percent", "io_maximum_bandwidth", "io_maximum_iops")
_NAMES: Final = {
    "blkio_device_read_iops": "BlkioDeviceReadIOps",
    "blkio_device_write_iops": "BlkioDeviceWriteIOps",
    "io_maximum_iops": "IOMaximumIOps",
    "io_maximum_bandwidth": "IOMaximumBandwidth",
    "kernel_memory_tcp": "KernelMemoryTCP",
}


def api_name(field: str) -> str:
    """A field of ours as Docker calls it."""
    return _NAMES.get(field) or "".join(word.capitalize() for word in field.split("_"))


def check_resources(wire: WireResources, *, cpus: int) -> None:
    """Refuses what cannot be, in Docker's words. ``cpus`` is how many the machine has.

    Raises:
        InvalidInputError: it cannot be.
        NotImplementedHereError: it could, but not here.
    """
    for name in _NOT_HERE:
        if getattr(wire, name):
            raise NotImplementedHereError(f"HostConfig.{api_name(name)} is not available")
    for name in _WINDOWS:
        if getattr(wire, name):
            raise InvalidInputError(f"invalid option: {api_name(name)} is for Windows only")
    for fault in (_memory_fault(wire), _cpu_fault(wire, cpus), _other_fault(wire)):
        if fault:
            raise InvalidInputError(fault)


def _memory_fault(wire: WireResources) -> str:
    limit, swap, reservation = wire.memory, wire.memory_swap, wire.memory_reservation
    swappiness = wire.memory_swappiness
    faults = {
        "Minimum memory limit allowed is 6MB": limit and limit < MEMORY_MIN,
        "Minimum memoryswap limit should be larger than memory limit, see usage": (
            limit and 0 < swap < limit
        ),
        "You should always set the Memory limit when using Memoryswap limit, see usage": (
            not limit and swap > 0
        ),
        "Minimum memory reservation allowed is 6MB": reservation and reservation < MEMORY_MIN,
        "Minimum memory limit can not be less than memory reservation limit, see usage": (
            0 < limit < reservation
        ),
        f"Invalid value: {swappiness}, valid memory swappiness range is 0-100": (
            swappiness is not None and not -1 <= swappiness <= SWAPPINESS_MAX
        ),
        f"invalid value for MemorySwap: {swap}": swap < -1,
    }
    return _first(faults)


def _cpu_fault(wire: WireResources, cpus: int) -> str:
    nano, period, quota, shares = wire.nano_cpus, wire.cpu_period, wire.cpu_quota, wire.cpu_shares
    faults = {
        "Conflicting options: Nano CPUs and CPU Period cannot both be set.": nano and period,
        "Conflicting options: Nano CPUs and CPU Quota cannot both be set.": nano and quota,
        f"Range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available": (
            nano and not NANO_CPUS_MIN <= nano <= cpus * NANO
        ),
        "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)": (
            period and period not in CPU_PERIODS_US
        ),
        "CPU cfs quota can not be less than 1ms (i.e. 1000)": 0 < quota < CPU_QUOTA_US_MIN,
        f"invalid CPU shares ({shares}): value must be a positive integer": shares < 0,
        f"The minimum allowed cpu-shares is {CPU_SHARES_MIN}": 0 < shares < CPU_SHARES_MIN,
        f"The maximum allowed cpu-shares is {CPU_SHARES_MAX}": shares > CPU_SHARES_MAX,
        f"Invalid value {wire.cpuset_cpus} for cpuset cpus": not _is_cpuset(wire.cpuset_cpus),
        f"Invalid value {wire.cpuset_mems} for cpuset mems": not _is_cpuset(wire.cpuset_mems),
    }
    return _first(faults) or _absent_cpus(wire.cpuset_cpus, cpus)


def _is_cpuset(text: str) -> bool:
    if len(text) > CPUSET_CHARACTERS_MAX:
        return False
    return not text or _CPUSET.fullmatch(text) is not None


def _absent_cpus(text: str, cpus: int) -> str:
    last = max((int(number) for number in re.findall(r"\d+", text)), default=0)
    if last < cpus:
        return ""
    there = "0" if cpus == 1 else f"0-{cpus - 1}"
    return f"Requested CPUs are not available - requested {text}, available: {there}"


def _other_fault(wire: WireResources) -> str:
    weight = wire.blkio_weight
    if weight and weight not in BLKIO_WEIGHTS:
        return "Range of blkio weight is from 10 to 1000"
    for limit in wire.ulimits:
        if not limit.name:
            return "invalid ulimit: a limit has no name"
        if -1 < limit.hard < limit.soft:
            return f"ulimit soft limit must be less than or equal to hard limit: {limit.soft} > {limit.hard}"
    return ""


def _first(faults: Mapping[str, object]) -> str:
    return next((text for text, is_so in faults.items() if is_so), "")


def requirements_of(wire: WireResources) -> ResourceRequirements:
    """Those of the limits that services have too."""
    return ResourceRequirements(
        limits=Limit(
            nano_cpus=wire.nano_cpus,
            memory_bytes=max(wire.memory, 0),
            pids=max(wire.pids_limit or 0, 0),
        ),
        reservations=Resources(memory_bytes=max(wire.memory_reservation, 0)),
    )


def update_of(wire: WireUpdate, *, cpus: int) -> ContainerUpdate:
    """What an update changes: 0 and "" leave things as they are, as in Docker.

    Raises:
        InvalidInputError: it cannot be.
        NotImplementedHereError: it could, but not here.
    """
    check_resources_of_update(wire, cpus=cpus)
    return ContainerUpdate(
        nano_cpus=wire.nano_cpus or None,
        memory_bytes=wire.memory or None,
        memory_swap_bytes=wire.memory_swap or None,
        memory_reservation_bytes=wire.memory_reservation or None,
        pids=wire.pids_limit,
        cpu_shares=wire.cpu_shares or None,
        cpu_period_us=wire.cpu_period or None,
        cpu_quota_us=wire.cpu_quota or None,
        cpuset_cpus=wire.cpuset_cpus or None,
        cpuset_mems=wire.cpuset_mems or None,
        blkio_weight=wire.blkio_weight or None,
        restart=wire.restart_policy if wire.restart_policy and wire.restart_policy.name else None,
    )


_CHANGES: Final = frozenset(
    {
        "blkio_weight",
        "cpu_period",
        "cpu_quota",
        "cpu_shares",
        "cpuset_cpus",
        "cpuset_mems",
        "memory",
        "memory_reservation",
        "memory_swap",
        "nano_cpus",
        "pids_limit",
        "restart_policy",
    }
)
_NO_CHANGE: Final = frozenset({"memory_swappiness"})
"""Of 0, which clients send that do not know null."""


def check_resources_of_update(wire: WireUpdate, *, cpus: int) -> None:
    """Refuses also what only a new container can be given.

    Raises:
        InvalidInputError: it cannot be.
        NotImplementedHereError: it could, but not here.
    """
    for field in fields(wire):
        asked = getattr(wire, field.name)
        if field.name in _NO_CHANGE and asked == -1:
            continue
        if asked and field.name not in _CHANGES and field.name not in (*_NOT_HERE, *_WINDOWS):
            raise NotImplementedHereError(
                f"{api_name(field.name)} of a container that exists cannot be changed"
            )
    without_memory = wire.memory == 0 and wire.memory_swap > 0
    check_resources(wire if not without_memory else _as_if_limited(wire), cpus=cpus)


def _as_if_limited(wire: WireUpdate) -> WireUpdate:
    """An update may give the swap alone: the memory limit that it belongs to is the container's."""
    return replace(wire, memory_swap=0)
