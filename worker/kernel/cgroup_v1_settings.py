"""Limits as files and values of control groups of version 1, in an order that the kernel takes."""

from worker.kernel.cgroupfs import CPU_PERIOD_US, CPU_SHARES, MEMORY_UNLIMITED, Limits

CPUSET = "cpuset"
"""Has groups only of containers that are bound to processors: making one costs more than all others together."""
BLKIO_WEIGHT_FILES = ("blkio.weight", "blkio.bfq.weight")
"""What the kernel calls it depends on its I/O scheduler; without one that can weigh there is neither."""
MEMORY_AND_SWAP = "memory.memsw.limit_in_bytes"
_NO_LIMIT = ("-1", "max", str(CPU_SHARES), str(CPU_PERIOD_US), "0")

Setting = tuple[str, str, str]
"""Controller, file and value of what to write."""


def v1_settings(limits: Limits) -> list[Setting]:
    """What to write into a new group, in order: a new one has no limit."""
    settings = []
    if limits.cpu_shares:
        settings.append(("cpu", "cpu.shares", str(limits.cpu_shares)))
    if limits.cpu_period_us != CPU_PERIOD_US or limits.cpu_quota_us:
        settings.append(("cpu", "cpu.cfs_period_us", str(limits.cpu_period_us)))
    if limits.cpu_quota_us:
        settings.append(("cpu", "cpu.cfs_quota_us", str(limits.cpu_quota_us)))
    if limits.cpuset_cpus:
        settings.append((CPUSET, "cpuset.cpus", limits.cpuset_cpus))
    if limits.cpuset_mems:
        settings.append((CPUSET, "cpuset.mems", limits.cpuset_mems))
    return settings + _memory_settings(limits) + _other_settings(limits)


def _memory_settings(limits: Limits) -> list[Setting]:
    settings = []
    if limits.memory_bytes:
        settings.append(("memory", "memory.limit_in_bytes", str(limits.memory_bytes)))
    if limits.memory_and_swap_bytes != MEMORY_UNLIMITED:
        both = str(limits.memory_and_swap_bytes)
        settings.append(("memory", MEMORY_AND_SWAP, both))
    if limits.memory_reservation_bytes:
        reservation = str(limits.memory_reservation_bytes)
        settings.append(("memory", "memory.soft_limit_in_bytes", reservation))
    if limits.memory_swappiness >= 0:
        settings.append(("memory", "memory.swappiness", str(limits.memory_swappiness)))
    if limits.oom_kill_disable:
        settings.append(("memory", "memory.oom_control", "1"))
    return settings


def _other_settings(limits: Limits) -> list[Setting]:
    settings = []
    if limits.pids > 0:
        settings.append(("pids", "pids.max", str(limits.pids)))
    if limits.blkio_weight:
        settings.append(("blkio", BLKIO_WEIGHT_FILES[0], str(limits.blkio_weight)))
    return settings


def v1_changes(limits: Limits, memory_and_swap_now: int) -> list[Setting]:
    """What to write into a group in use so that these are its limits, in an order that the kernel takes.

    Memory may at no moment be more than memory and swap together.

    Args:
        limits: what is to be.
        memory_and_swap_now: their limit as it is.
    """
    unlimited = [
        ("cpu", "cpu.shares", str(CPU_SHARES)),
        ("cpu", "cpu.cfs_period_us", str(limits.cpu_period_us)),
        ("cpu", "cpu.cfs_quota_us", "-1"),
        ("memory", "memory.limit_in_bytes", "-1"),
        ("memory", MEMORY_AND_SWAP, "-1"),
        ("memory", "memory.soft_limit_in_bytes", "-1"),
        ("memory", "memory.oom_control", "0"),
        ("pids", "pids.max", "max"),
    ]
    wanted = {(controller, file): value for controller, file, value in v1_settings(limits)}
    values = {(controller, file): value for controller, file, value in unlimited} | wanted
    memory, both = ("memory", "memory.limit_in_bytes"), ("memory", MEMORY_AND_SWAP)
    if limits.memory_bytes == 0 or limits.memory_bytes > memory_and_swap_now:
        first, second = both, memory
    else:
        first, second = memory, both
    pair = {first: values.pop(first), second: values.pop(second)}
    return [(controller, file, value) for (controller, file), value in (pair | values).items()]


def is_no_limit(setting: Setting) -> bool:
    """Whether it takes a limit away, so that nothing is lost where there is no controller for it."""
    return setting[2] in _NO_LIMIT
