"""Managers as hosts of a network: whatever befalls a minority, writes go on, and nothing acknowledged is lost."""

import itertools
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.swarmctl.client import ApiError
from integration.cluster import Cluster, lab
from integration.faults import FAULTS, Fault, padding_bytes
from integration.host import wait_for
from integration.workload import HISTORIES, LABEL, Registers, Settings, Workload, value_of

DISK_BYTES = 256 * 1024 * 1024
REGISTERS = 3
BEFORE_SECONDS, DURING_SECONDS, AFTER_SECONDS = 0.5, 1.0, 0.5
LOAD_SECONDS = 1.5
WRITES_STAND_STILL_SECONDS_MAX = 10.0
AT_ONCE_SECONDS = 1.0
SEED = 1
NO_LEADER = (
    "The swarm does not have a leader. It's possible that too few managers are online. "
    "Make sure more than half of the managers are online."
)
_numbers = itertools.count(1)


def managers(count: int) -> Iterator[Cluster]:
    names = tuple(f"m{number}" for number in range(1, count + 1))
    with lab(f"swarmd-r{os.getpid()}-{count}", names, disk_bytes=DISK_BYTES) as cluster:
        cluster.start()
        cluster.form(names)
        yield cluster


@pytest.fixture(scope="class")
def three() -> Iterator[Cluster]:
    yield from managers(3)


@pytest.fixture(scope="class")
def five() -> Iterator[Cluster]:
    yield from managers(5)


def workload(cluster: Cluster, title: str) -> Workload:
    names = [f"r{next(_numbers)}" for _ in range(REGISTERS)]
    registers = Registers.make(cluster[cluster.leader()], names)
    path = HISTORIES / f"{len(cluster.hosts)}-{title.replace(' ', '-')}.jsonl"
    return Workload(cluster.hosts, registers, path)


def survives(cluster: Cluster, title: str, fault: Fault) -> None:
    load = workload(cluster, title)
    with load.running(SEED, Settings(padding_bytes=padding_bytes(title))):
        load.first_write_after(time.monotonic(), WRITES_STAND_STILL_SECONDS_MAX)
        time.sleep(BEFORE_SECONDS)
        with fault(cluster, random.Random(SEED)):
            stood = load.first_write_after(time.monotonic(), WRITES_STAND_STILL_SECONDS_MAX)
            time.sleep(DURING_SECONDS)
        load.first_write_after(time.monotonic(), WRITES_STAND_STILL_SECONDS_MAX)
        time.sleep(AFTER_SECONDS)
    load.until_all_answer(cluster.running)
    print(f"{title}: next write after {stood:.2f} s; {load.verify(cluster.running)}")


class TestThreeManagers:
    @pytest.mark.parametrize("title", FAULTS)
    def test_survive(self, three: Cluster, title: str) -> None:
        survives(three, title, FAULTS[title])

    def test_all_killed_at_once_lose_nothing(self, three: Cluster) -> None:
        load = workload(three, "all killed")
        initial: dict[str, str] | None = None
        for turn in range(3):
            with load.running(turn, Settings(clients=12, pause_seconds=0)):
                load.first_write_after(time.monotonic(), WRITES_STAND_STILL_SECONDS_MAX)
                time.sleep(LOAD_SECONDS)
                three.kill_all()
            three.start()
            load.until_all_answer(three.running)
            print(load.verify(three.hosts, initial))
            initial = load.held(three["m1"])

    def test_quorum_lost_and_found(self, three: Cluster) -> None:
        load = workload(three, "quorum lost")
        leader = three.leader()
        pids = running_containers(three, leader)
        others = sorted(set(three.hosts) - {leader})
        service = three[leader].engine.get(f"/services/{min(load.registers.ids.values())}")
        for name in others:
            three.kill(name)
        try:
            wait_for(
                "the next leader to be waited for no more", lambda: refuses(three, leader, service)
            )
            says_at_once_that_nobody_leads(three, leader, service)
            stale = three[leader].engine.get(f"/services/{service['ID']}", stale="true")
            assert value_of(stale) == value_of(service)
            assert running_pids(three, leader) == pids, "containers keep running"
        finally:
            three.start(*others)
        load.until_all_answer(three.running)
        with load.running(SEED):
            load.first_write_after(time.monotonic(), WRITES_STAND_STILL_SECONDS_MAX)
        load.verify(three.hosts)
        assert running_pids(three, leader) == pids, "nothing restarts when the managers are back"
        three[leader].ctl("service", "rm", "kept")


def says_at_once_that_nobody_leads(cluster: Cluster, name: str, service: dict[str, Any]) -> None:
    began = time.monotonic()
    with pytest.raises(ApiError) as caught:
        write(cluster, name, service)
    assert (caught.value.status, str(caught.value)) == (503, NO_LEADER)
    with pytest.raises(ApiError, match="does not have a leader"):
        cluster[name].engine.get(f"/services/{service['ID']}")
    assert time.monotonic() - began < AT_ONCE_SECONDS
    said = cluster[name].ctl("service", "create", "none", check=False)
    assert said.returncode != 0
    assert NO_LEADER in said.stderr


def write(cluster: Cluster, name: str, service: dict[str, Any]) -> None:
    spec = service["Spec"] | {"Labels": {LABEL: "1 lost"}}
    path = f"/services/{service['ID']}/update"
    cluster[name].engine.post(path, spec, version=str(service["Version"]["Index"]))


def refuses(cluster: Cluster, name: str, service: dict[str, Any]) -> bool:
    """Whether a write is refused for want of a leader, and soon: a while after one was lost, the next may come."""
    began = time.monotonic()
    with pytest.raises(ApiError, match="does not have a leader"):
        write(cluster, name, service)
    return time.monotonic() - began < AT_ONCE_SECONDS


def running_containers(cluster: Cluster, name: str) -> set[int]:
    host = cluster[name]
    host.import_hello("1")
    host.ctl(
        "service", "create", "--detach", "--name", "kept", "--replicas", "2",
        "--constraint", f"node.hostname=={name}", "hello:1",
    )  # fmt: skip
    wait_for("its containers", lambda: len(running_pids(cluster, name)) == 2)
    return running_pids(cluster, name)


def running_pids(cluster: Cluster, name: str) -> set[int]:
    containers = cluster[name].engine.get("/containers/json")
    found = (cluster[name].engine.get(f"/containers/{one['Id']}/json") for one in containers)
    pids = {int(one["State"]["Pid"]) for one in found}
    assert all(Path(f"/proc/{pid}").exists() for pid in pids)
    return pids


OF_FIVE = ("leader killed", "leader cut off", "leader not heard", "leader paused")


class TestFiveManagers:
    @pytest.mark.parametrize("title", OF_FIVE)
    def test_survive_it_with_one_of_them_gone(self, five: Cluster, title: str) -> None:
        gone = min(set(five.hosts) - {five.leader()})
        five.kill(gone)
        try:
            survives(five, title, FAULTS[title])  # its clients keep trying the one that is gone
        finally:
            five.start(gone)
