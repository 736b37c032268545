"""Five managers and two workers: all managers are gone for a while, and the whole swarm is restarted at once."""

import os
import signal
from collections.abc import Iterator, Mapping

import pytest

from integration.cluster import Cluster, lab
from integration.host import wait_for

MANAGERS = ("m1", "m2", "m3", "m4", "m5")
WORKERS = ("w1", "w2")
REPLICAS = 6
SETTLE_SECONDS_MAX = 60.0


@pytest.fixture(scope="module")
def seven() -> Iterator[Cluster]:
    with lab(f"swarmd-v{os.getpid()}", (*MANAGERS, *WORKERS)) as cluster:
        cluster.start()
        cluster.form(MANAGERS, WORKERS)
        for name in WORKERS:
            cluster[name].import_hello("1")
        first = cluster["m1"]
        first.ctl(
            "service", "create", "--detach", "--name", "hello", "--replicas", str(REPLICAS),
            "--constraint", "node.role==worker", "hello:1",
        )  # fmt: skip
        first.wait_running("hello")
        yield cluster


def containers(cluster: Cluster) -> Mapping[str, frozenset[str]]:
    """Whole ids of the containers that run on each worker."""
    return {
        name: frozenset(cluster[name].ctl("container", "ls", "-q", "--no-trunc").stdout.split())
        for name in WORKERS
    }


def tasks(cluster: Cluster) -> Mapping[str, str]:
    """Each task of the service with its state; one that was replaced would be there, too."""
    found = cluster[cluster.leader()].tasks("hello")
    return {task["ID"]: task["Status"]["State"] for task in found}


def until_all_ready(cluster: Cluster) -> None:
    """Waits until every node is Ready, as the leader tells it."""

    def ready() -> bool:
        nodes = cluster[cluster.leader()].engine.get("/nodes")
        return [node["Status"]["State"] for node in nodes] == ["ready"] * len(cluster.hosts)

    wait_for("all nodes to be Ready", ready, seconds=SETTLE_SECONDS_MAX)


def test_containers_go_on_without_any_manager_and_nothing_is_restarted_on_return(
    seven: Cluster,
) -> None:
    before, known = containers(seven), tasks(seven)
    for name in MANAGERS:
        seven[name].stop(signal.SIGKILL)
    wait_for(
        "the workers to have noticed",
        lambda: all("no manager can be reached" in seven[name].tail(400) for name in WORKERS),
    )
    assert containers(seven) == before
    seven.start(*MANAGERS)
    until_all_ready(seven)
    assert containers(seven) == before
    assert tasks(seven) == known


def test_everything_restarted_at_once_goes_on_with_the_same_containers(seven: Cluster) -> None:
    before, known = containers(seven), tasks(seven)
    assert sum(map(len, before.values())) == REPLICAS
    seven.kill_all()
    seven.start()
    until_all_ready(seven)
    assert containers(seven) == before
    assert tasks(seven) == known
