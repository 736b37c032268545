"""What a container uses, as ``docker stats`` expects it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from common.engine_json import ZERO_TIME, rfc3339
from worker.containers.record import Container
from worker.runtime.bundle import Usage

_TICK_NS: Final = 10_000_000
"""Of /proc/stat: a hundredth of a second."""
_CPU_FIELDS: Final = 7
"""user nice system idle iowait irq softirq: those that Docker adds up."""
_LINE_FIELDS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """What has gone over a network interface of a container."""

    name: str
    rx: tuple[int, int, int, int]
    """Bytes, packets, errors, dropped."""
    tx: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What was seen at one moment."""

    at: float
    usage: Usage
    system_cpu_ns: int
    online_cpus: int
    interfaces: tuple[Interface, ...] = ()


def system_cpu_ns(text: str) -> int:
    """The time that all processors together have passed, by the first line of /proc/stat."""
    words = text.partition("\n")[0].split()
    if len(words) <= _CPU_FIELDS or words[0] != "cpu":
        return 0
    return sum(int(word) for word in words[1 : _CPU_FIELDS + 1]) * _TICK_NS


def parse_interfaces(text: str) -> tuple[Interface, ...]:
    """The interfaces of /proc/<pid>/net/dev but the loopback."""
    found = []
    for line in text.splitlines():
        name, colon, rest = line.partition(":")
        numbers = rest.split()
        if not colon or len(numbers) < _LINE_FIELDS or name.strip() == "lo":
            continue
        values = [int(number) for number in numbers]
        found.append(
            Interface(
                name=name.strip(),
                rx=(values[0], values[1], values[2], values[3]),
                tx=(values[8], values[9], values[10], values[11]),
            )
        )
    return tuple(found)


def render_stats(
    container: Container, sample: Sample, before: Sample | None, *, memory_bytes: int
) -> dict[str, Any]:
    """One answer of ``GET /containers/{id}/stats``; ``memory_bytes`` is the machine's."""
    usage = sample.usage
    shown: dict[str, Any] = {
        "name": f"/{container.config.name}",
        "id": container.id,
        "read": rfc3339(sample.at),
        "preread": rfc3339(before.at) if before else ZERO_TIME,
        "pids_stats": {"current": usage.pids, **_unless_zero("limit", usage.pids_limit)},
        "blkio_stats": _block_io(usage),
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": _cpu(sample),
        "precpu_stats": _cpu(before),
        "memory_stats": {
            "usage": usage.memory_bytes,
            "stats": dict(usage.memory_detail),
            "limit": usage.memory_limit_bytes or memory_bytes,
        },
    }
    if sample.interfaces:
        shown["networks"] = {interface.name: _network(interface) for interface in sample.interfaces}
    return shown


def render_nothing(container: Container) -> dict[str, Any]:
    """The same of one that does not run."""
    return {
        "name": f"/{container.config.name}",
        "id": container.id,
        "read": ZERO_TIME,
        "preread": ZERO_TIME,
        "pids_stats": {},
        "blkio_stats": _block_io(Usage()),
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": _cpu(None),
        "precpu_stats": _cpu(None),
        "memory_stats": {},
    }


def _unless_zero(name: str, value: int) -> Mapping[str, int]:
    return {name: value} if value else {}


def _cpu(sample: Sample | None) -> dict[str, Any]:
    usage = sample.usage if sample else Usage()
    shown: dict[str, Any] = {
        "cpu_usage": {
            "total_usage": usage.cpu_ns,
            "usage_in_kernelmode": usage.cpu_system_ns,
            "usage_in_usermode": usage.cpu_user_ns,
        },
        "throttling_data": {
            "periods": usage.periods,
            "throttled_periods": usage.throttled_periods,
            "throttled_time": usage.throttled_ns,
        },
    }
    if usage.per_cpu_ns:
        shown["cpu_usage"]["percpu_usage"] = list(usage.per_cpu_ns)
    if sample:
        shown |= {"system_cpu_usage": sample.system_cpu_ns, "online_cpus": sample.online_cpus}
    return shown


def _block_io(usage: Usage) -> dict[str, Any]:
    moved = [
        {"major": major, "minor": minor, "op": operation, "value": count}
        for major, minor, operation, count in usage.block_io
    ]
    return {
        "io_service_bytes_recursive": moved or None,
        "io_serviced_recursive": None,
        "io_queue_recursive": None,
        "io_service_time_recursive": None,
        "io_wait_time_recursive": None,
        "io_merged_recursive": None,
        "io_time_recursive": None,
        "sectors_recursive": None,
    }


def _network(interface: Interface) -> dict[str, int]:
    words = ("bytes", "packets", "errors", "dropped")
    return {
        **{f"rx_{word}": value for word, value in zip(words, interface.rx, strict=True)},
        **{f"tx_{word}": value for word, value in zip(words, interface.tx, strict=True)},
    }
