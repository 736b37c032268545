"""The part of ``./test.sh chaos`` about false alarms: every processor is busy, and no node may be called down.

Three managers and three workers at the default heartbeat, a minute a round (ten minutes by default), while programs
that only count keep all processors busy. A node that is not Ready at any look, a task that is replaced or a leader
that changes is a false alarm.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from integration.cluster import Cluster, lab

MANAGERS, WORKERS = ("m1", "m2", "m3"), ("w1", "w2", "w3")
SECONDS_PER_ROUND = 60.0
LOOK_SECONDS = 0.5
REPLICAS = 9
BUSY = "while True: pass"


def keep_busy(_seed: int, rounds: int) -> None:
    """So many minutes; stops at the first false alarm."""
    with lab(f"swarmd-h{os.getpid()}", (*MANAGERS, *WORKERS)) as cluster:
        cluster.start()
        cluster.form(MANAGERS, WORKERS)
        for host in cluster.hosts.values():
            host.import_hello("1")
        leader = cluster.leader()
        cluster[leader].ctl(
            "service",
            "create",
            "--detach",
            "--name",
            "hello",
            "--replicas",
            str(REPLICAS),
            "hello:1",
        )
        cluster[leader].wait_running("hello")
        with _busy_processors():
            for number in range(1, rounds + 1):
                looks = _watch(cluster, leader)
                print(f"==> minute {number}: {looks} looks, no false alarm", flush=True)


def _watch(cluster: Cluster, leader: str) -> int:
    """Looks for a round; gives how often."""
    known = {task["ID"] for task in cluster[leader].tasks("hello")}
    end, looks = time.monotonic() + SECONDS_PER_ROUND, 0
    while time.monotonic() < end:
        nodes = cluster[leader].engine.get("/nodes")
        states = {node["Description"]["Hostname"]: node["Status"]["State"] for node in nodes}
        assert set(states.values()) == {"ready"}, f"a false alarm: {states}"
        leads = [
            node["Description"]["Hostname"]
            for node in nodes
            if node.get("ManagerStatus", {}).get("Leader")
        ]
        assert leads == [leader], f"the leader was {leader}, now it is {leads}"
        looks += 1
        time.sleep(LOOK_SECONDS)
    assert {task["ID"] for task in cluster[leader].tasks("hello")} == known, "tasks were replaced"
    return looks


@contextmanager
def _busy_processors() -> Iterator[None]:
    """Two programs a processor that do nothing but count."""
    count = 2 * (os.cpu_count() or 1)
    programs = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()
