"""Benchmarks can be run: real processes, real streams, few of them."""

import pytest

from integration.bench import runtime
from integration.bench.dispatcher import QUICK, measure
from integration.bench.rows import QUICK_VARIABLE

NAMES = {
    "connect all",
    "connect all cpu",
    "cpu",
    "memory",
    "cpu of the agents' process",
    "cpu of all other processes",
    "assignment p50",
    "assignment p99",
    "assignment rate",
    "rolling update cpu",
    "status reports",
}


def test_one_leader_and_its_agents_are_measured() -> None:
    rows = list(measure(QUICK))
    count = QUICK.agents[0]
    assert {row.name for row in rows} == {f"{count} agents {name}" for name in NAMES}
    assert all(row.value >= 0 for row in rows)
    rate = next(row.value for row in rows if row.name.endswith("assignment rate"))
    assert rate > 0


def test_the_runtime_is_measured_beside_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(QUICK_VARIABLE, "1")
    rows = list(runtime.measure())
    assert {row.name for row in rows} >= {
        "run true",
        "exec true",
        "memory per container",
        "log throughput",
        "create to running of 5",
    }
    assert {row.peer for row in rows if row.name == "run true"} <= {"crun", "runc", None}
    assert all(row.value > 0 for row in rows if row.unit != "MiB")
