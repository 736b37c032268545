"""What a container uses, as docker's ``stats`` shows it, out of two samples of the API. Pure."""

from collections.abc import Mapping
from typing import Any

from cli.swarmctl import shown

Sample = Mapping[str, Any]
UNKNOWN = "--"


def row(name: str, sample: Sample | None, before: Sample | None, *, whole: bool) -> dict[str, str]:
    """A line of the table.

    Args:
        name: As the user named it, or its id.
        sample: What it uses now; None: it is gone.
        before: The sample before, for the share of the processors.
        whole: Whether ids are shown in full.
    """
    if sample is None:
        fields = ("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs")
        return {"Container": name, **dict.fromkeys(fields, UNKNOWN)}
    memory = sample.get("memory_stats") or {}
    used, limit = memory_used(memory), int(memory.get("limit") or 0)
    received, sent = _network(sample.get("networks") or {})
    read, written = _blocks(sample.get("blkio_stats") or {})
    return {
        "Container": name,
        "ID": shown.short(str(sample.get("id", "")), whole=whole),
        "Name": str(sample.get("name", "")).lstrip("/"),
        "CPUPerc": f"{cpu_percent(sample, before or {}):.2f}%",
        "MemUsage": f"{shown.binary_size(used)} / {shown.binary_size(limit)}",
        "MemPerc": f"{100 * used / limit if limit else 0:.2f}%",
        "NetIO": f"{shown.size(received, digits=3)} / {shown.size(sent, digits=3)}",
        "BlockIO": f"{shown.size(read, digits=3)} / {shown.size(written, digits=3)}",
        "PIDs": str((sample.get("pids_stats") or {}).get("current") or 0),
    }


def cpu_percent(sample: Sample, before: Sample) -> float:
    """The share of one processor, so that two busy ones are 200."""
    now, then = sample.get("cpu_stats") or {}, before.get("cpu_stats") or {}
    used = _total(now) - _total(then)
    passed = int(now.get("system_cpu_usage") or 0) - int(then.get("system_cpu_usage") or 0)
    if not then or used <= 0 or passed <= 0:
        return 0.0
    processors = int(now.get("online_cpus") or 0) or len(
        (now.get("cpu_usage") or {}).get("percpu_usage") or [0]
    )
    return used / passed * processors * 100


def _total(stats: Mapping[str, Any]) -> int:
    return int((stats.get("cpu_usage") or {}).get("total_usage") or 0)


def memory_used(memory: Mapping[str, Any]) -> int:
    """Without the pages of files that can be dropped at any time (cgroup v1 and v2 name them differently)."""
    usage, stats = int(memory.get("usage") or 0), memory.get("stats") or {}
    inactive = int(stats.get("total_inactive_file", stats.get("inactive_file", 0)) or 0)
    return usage - inactive if inactive < usage else usage


def _network(networks: Mapping[str, Mapping[str, int]]) -> tuple[int, int]:
    return (
        sum(int(item.get("rx_bytes") or 0) for item in networks.values()),
        sum(int(item.get("tx_bytes") or 0) for item in networks.values()),
    )


def _blocks(stats: Mapping[str, Any]) -> tuple[int, int]:
    entries = stats.get("io_service_bytes_recursive") or []
    read, written = (
        sum(
            int(item.get("value") or 0) for item in entries if item.get("op", " ")[:1].lower() == op
        )
        for op in "rw"
    )
    return read, written
