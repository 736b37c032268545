"""Workers that lose their power or their network: what becomes of their tasks meanwhile, and when they are back."""

import os
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from integration.cluster import Cluster, lab
from integration.host import Host, wait_for

WORKERS = ("w1", "w2")
REPLACED_SECONDS_MAX = 5.0
"""With a heartbeat each second."""
STOP_AFTER_SECONDS = 3


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with lab(f"swarmd-l{os.getpid()}", ("m1", *WORKERS)) as made:
        made.start()
        manager = made["m1"]
        made.form(("m1",))
        beat_each_second(manager)
        token = manager.ctl("swarm", "join-token", "-q", "worker").stdout.strip()
        for name in WORKERS:
            made.join(name, token, manager)
            made[name].import_hello("1")
        yield made


def beat_each_second(manager: Host) -> None:
    swarm = manager.engine.get("/swarm")
    spec = {**swarm["Spec"], "Dispatcher": {"HeartbeatPeriod": 10**9}}
    manager.engine.post("/swarm/update", spec, version=str(swarm["Version"]["Index"]))


def create(manager: Host, name: str, *arguments: str) -> None:
    manager.ctl(
        "service", "create", "--detach", "--name", name, "--constraint", "node.role==worker",
        "--stop-grace-period", "1s", *arguments, "hello:1",
    )  # fmt: skip
    manager.wait_running(name)


def containers(host: Host, service: str) -> set[str]:
    """What runs there of a service, as the host itself knows it."""
    found = host.engine.get("/containers/json")
    return {one["Id"] for one in found if one["Names"][0].startswith(f"/{service}.")}


def states(manager: Host) -> dict[str, str]:
    nodes = manager.engine.get("/nodes")
    return {node["Description"]["Hostname"]: node["Status"]["State"] for node in nodes}


def ran_at(task: dict[str, Any]) -> float:
    return datetime.fromisoformat(task["Status"]["Timestamp"][:26] + "+00:00").timestamp()


def test_tasks_of_a_worker_without_power_run_elsewhere_soon(cluster: Cluster) -> None:
    manager = cluster["m1"]
    wait_for("all to be Ready", lambda: set(states(manager).values()) == {"ready"})
    create(manager, "web", "--replicas", "4")
    kept = containers(cluster["w2"], "web")
    assert len(kept) == 2
    cut_at = time.time()
    cluster.power_cut("w1")
    wait_for("all to run on the other", lambda: len(containers(cluster["w2"], "web")) == 4)
    wait_for("them to be known to run", lambda: len(manager.running("web")) == 4)
    assert max(map(ran_at, manager.running("web"))) - cut_at < REPLACED_SECONDS_MAX
    assert kept < containers(cluster["w2"], "web")
    refused = manager.ctl("node", "rm", "w2", check=False)
    assert "is not down and can't be removed" in refused.stderr
    cluster.start("w1")
    wait_for("it to be back", lambda: states(manager)["w1"] == "ready")
    assert containers(cluster["w1"], "web") == set()
    manager.ctl("service", "rm", "web")


def test_a_worker_that_was_cut_off_has_no_surplus_and_a_lease_never_two_copies(
    cluster: Cluster,
) -> None:
    manager = cluster["m1"]
    create(manager, "web", "--replicas", "2")
    create(manager, "all", "--mode", "global")
    create(manager, "one", "--disconnect-stop-after", f"{STOP_AFTER_SECONDS}s")
    lost = next(name for name in WORKERS if containers(cluster[name], "one"))
    left = next(name for name in WORKERS if name != lost)
    everywhere = {name: containers(cluster[name], "all") for name in WORKERS}
    cluster.cut(lost)
    wait_for("web to run on the other", lambda: len(containers(cluster[left], "web")) == 2)
    kept = containers(cluster[left], "web")
    assert len(containers(cluster[lost], "web")) == 1, "without a manager it goes on"
    stopped = False
    while not (replacement := containers(cluster[left], "one")):
        stopped = stopped or not containers(cluster[lost], "one")
        time.sleep(0.1)
    assert stopped, "the first copy stopped before the second began"
    assert containers(cluster[lost], "one") == set()
    cluster.heal()
    wait_for("the surplus to stop", lambda: not containers(cluster[lost], "web"))
    wait_for("it to be back", lambda: states(manager)[lost] == "ready")
    assert containers(cluster[left], "web") == kept
    assert containers(cluster[left], "one") == replacement
    assert {name: containers(cluster[name], "all") for name in WORKERS} == everywhere
    assert len(manager.running("web")) == 2
    tasks = {task["Status"]["State"] for task in manager.tasks("one")}
    assert tasks == {"running", "orphaned"}
