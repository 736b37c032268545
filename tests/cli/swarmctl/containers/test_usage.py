from typing import Any

import pytest

from cli.swarmctl.containers.usage import cpu_percent, memory_used, row

SAMPLE: dict[str, Any] = {
    "id": "c" * 64,
    "name": "/web",
    "cpu_stats": {
        "cpu_usage": {"total_usage": 3_000},
        "system_cpu_usage": 20_000,
        "online_cpus": 2,
    },
    "memory_stats": {"usage": 3 * 1024**2, "limit": 8 * 1024**3, "stats": {"inactive_file": 1024**2}},
    "networks": {"eth0": {"rx_bytes": 1000, "tx_bytes": 5}, "eth1": {"rx_bytes": 500}},
    "blkio_stats": {
        "io_service_bytes_recursive": [
            {"op": "Read", "value": 1}, {"op": "read", "value": 2}, {"op": "Write", "value": 4000},
        ]
    },
    "pids_stats": {"current": 3},
}  # fmt: skip
BEFORE: dict[str, Any] = {
    "cpu_stats": {"cpu_usage": {"total_usage": 1_000}, "system_cpu_usage": 10_000}
}


def test_a_line_is_as_dockers() -> None:
    assert row("web", SAMPLE, BEFORE, whole=False) == {
        "Container": "web",
        "ID": "c" * 12,
        "Name": "web",
        "CPUPerc": "40.00%",
        "MemUsage": "2MiB / 8GiB",
        "MemPerc": "0.02%",
        "NetIO": "1.5kB / 5B",
        "BlockIO": "3B / 4kB",
        "PIDs": "3",
    }


def test_one_that_is_gone_has_no_figures() -> None:
    assert set(row("web", None, None, whole=False).values()) == {"web", "--"}


def test_one_that_does_not_run_uses_nothing() -> None:
    line = row("web", {"id": "x", "name": "/web"}, None, whole=True)
    assert (line["CPUPerc"], line["MemUsage"], line["PIDs"]) == ("0.00%", "0B / 0B", "0")


@pytest.mark.parametrize("before", [{}, SAMPLE], ids=["the first look", "nothing passed"])
def test_the_share_of_processors_needs_two_samples(before: dict[str, Any]) -> None:
    assert cpu_percent(SAMPLE, before) == 0.0


MEMORY = {
    "cgroup v1": ({"usage": 10, "stats": {"total_inactive_file": 4, "inactive_file": 1}}, 6),
    "cgroup v2": ({"usage": 10, "stats": {"inactive_file": 4}}, 6),
    "more pages than use": ({"usage": 3, "stats": {"inactive_file": 4}}, 3),
    "no details": ({"usage": 3, "stats": None}, 3),
}


@pytest.mark.parametrize(("stats", "expected"), MEMORY.values(), ids=MEMORY)
def test_pages_that_can_be_dropped_are_not_use(stats: dict[str, Any], expected: int) -> None:
    assert memory_used(stats) == expected
