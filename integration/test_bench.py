"""The benchmark of the dispatcher can be run: real processes, real streams, few of them."""

from integration.bench.dispatcher import QUICK, measure

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
