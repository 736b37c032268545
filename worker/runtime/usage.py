"""What a container uses, read out of its control group: in swarmd, since it needs nothing but to read files."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from worker.kernel.cgroupfs import keyed_numbers
from worker.runtime.bundle import Usage

if TYPE_CHECKING:
    from worker.kernel.cgroupfs import Cgroups

UNLIMITED_FROM = 1 << 60
"""v1 shows "no limit" as the largest multiple of a page."""
TICKS_PER_SECOND = 100
"""Of ``cpuacct.stat``: the kernel's USER_HZ, the same on all machines."""
_NANO = 10**9
_DIRECTIONS = {"Read": "read", "Write": "write", "rbytes": "read", "wbytes": "write"}
_BYTES_FILES = ("blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes")

BlockIo = tuple[tuple[int, int, str, int], ...]


def read_usage(cgroups: "Cgroups", container_id: str) -> Usage:
    """What the container uses now.

    Raises:
        FileNotFoundError: it has no group.
    """
    processes = Path(cgroups.place("pids", container_id) or cgroups.place("memory", container_id))
    if not (processes / "cgroup.procs").exists():
        raise FileNotFoundError(2, f"no control group {container_id}")
    if (processes / "cgroup.controllers").exists():
        return _usage_v2(processes)
    places = ("cpu", "cpuacct", "memory", "pids", "blkio")
    return _usage_v1({name: Path(cgroups.place(name, container_id)) for name in places})


def _usage_v1(places: Mapping[str, Path]) -> Usage:
    quota = keyed_numbers(_text(places["cpu"] / "cpu.stat"))
    ticks = keyed_numbers(_text(places["cpuacct"] / "cpuacct.stat"))
    memory, pids = places["memory"], places["pids"]
    limit = _number(memory / "memory.limit_in_bytes")
    transferred = next(filter(None, (_text(places["blkio"] / name) for name in _BYTES_FILES)), "")
    return Usage(
        cpu_ns=_number(places["cpuacct"] / "cpuacct.usage"),
        cpu_user_ns=ticks.get("user", 0) * _NANO // TICKS_PER_SECOND,
        cpu_system_ns=ticks.get("system", 0) * _NANO // TICKS_PER_SECOND,
        periods=quota.get("nr_periods", 0),
        throttled_periods=quota.get("nr_throttled", 0),
        throttled_ns=quota.get("throttled_time", 0),
        memory_bytes=_number(memory / "memory.usage_in_bytes"),
        memory_limit_bytes=0 if limit >= UNLIMITED_FROM else limit,
        memory_detail=keyed_numbers(_text(memory / "memory.stat")),
        pids=_number(pids / "pids.current"),
        pids_limit=_number(pids / "pids.max"),
        block_io=block_io_v1(transferred),
        per_cpu_ns=tuple(
            int(word) for word in _text(places["cpuacct"] / "cpuacct.usage_percpu").split()
        ),
    )


def _usage_v2(group: Path) -> Usage:
    processor = keyed_numbers(_text(group / "cpu.stat"))
    return Usage(
        cpu_ns=processor.get("usage_usec", 0) * 1000,
        cpu_user_ns=processor.get("user_usec", 0) * 1000,
        cpu_system_ns=processor.get("system_usec", 0) * 1000,
        periods=processor.get("nr_periods", 0),
        throttled_periods=processor.get("nr_throttled", 0),
        throttled_ns=processor.get("throttled_usec", 0) * 1000,
        memory_bytes=_number(group / "memory.current"),
        memory_limit_bytes=_number(group / "memory.max"),
        memory_detail=keyed_numbers(_text(group / "memory.stat")),
        pids=_number(group / "pids.current"),
        pids_limit=_number(group / "pids.max"),
        block_io=block_io_v2(_text(group / "io.stat")),
    )


def block_io_v1(text: str) -> BlockIo:
    """Reads lines as "8:0 Read 4096" of ``blkio.throttle.io_service_bytes``."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[1] in _DIRECTIONS:  # noqa: PLR2004 - device, direction, bytes
            found.append((*_device(words[0]), _DIRECTIONS[words[1]], int(words[2])))
    return tuple(found)


def block_io_v2(text: str) -> BlockIo:
    """Reads lines as "8:0 rbytes=4096 wbytes=0 rios=1 …" of ``io.stat``."""
    found = []
    for line in text.splitlines():
        device, _, counters = line.partition(" ")
        for counter in counters.split():
            key, _, value = counter.partition("=")
            if key in _DIRECTIONS:
                found.append((*_device(device), _DIRECTIONS[key], int(value)))
    return tuple(found)


def _device(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(":")
    return int(major), int(minor)


def _text(path: Path) -> str:
    """Of a file that a controller has; "" on a kernel without it."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def _number(path: Path) -> int:
    """0 for "max", as for a file that is not there."""
    text = _text(path).strip()
    return int(text) if text.isdigit() else 0
