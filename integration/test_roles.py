"""Managers and workers change places under load: nothing that was acknowledged is lost, and no task is restarted."""

import itertools
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cli.swarmctl.client import ApiError, CannotConnectError
from integration.cluster import Cluster, lab
from integration.host import Host, wait_for

HOSTS = ("m1", "m2", "m3", "w1")
SERVICE = "hello"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with lab(f"swarmd-r{os.getpid()}", HOSTS) as made:
        made.start()
        made.form(HOSTS[:3], HOSTS[3:])
        yield made


def standing(host: Host) -> dict[str, str]:
    """What ``node ls`` says of each host, in short."""
    form = "{{.Hostname}} {{.Status}} {{.ManagerStatus}}"
    lines = host.ctl("node", "ls", "--format", form).stdout.splitlines()
    return {name: rest for name, _, rest in (line.partition(" ") for line in lines)}


def node_id(host: Host, name: str) -> str:
    return host.ctl("node", "inspect", "--format", "{{.ID}}", name).stdout.strip()


def containers(cluster: Cluster) -> dict[str, set[str]]:
    return {
        name: set(host.ctl("container", "ls", "-q", "--no-trunc").stdout.split())
        for name, host in cluster.hosts.items()
    }


class Writer:
    """Writes through whichever manager answers, and remembers what was acknowledged."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.acked: list[str] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._over.set()
            self._thread.join()

    def _run(self) -> None:
        hosts = itertools.cycle(self._cluster.hosts.values())
        for number in itertools.count():
            if self._over.is_set():
                return
            label = f"n{number}"
            try:
                self._write(next(hosts), label)
                self.acked.append(label)
            except (ApiError, CannotConnectError, OSError):
                time.sleep(0.02)

    @staticmethod
    def _write(host: Host, label: str) -> None:
        service = host.engine.get(f"/services/{SERVICE}")
        spec = service["Spec"]
        spec["Labels"] = {**spec.get("Labels", {}), label: "1"}
        version = service["Version"]["Index"]
        host.engine.post(f"/services/{service['ID']}/update", spec, version=str(version))


def becomes(name: str, role: str, through: Host) -> None:
    """Waits until ``node ls`` shows a manager that is reachable, or a worker."""
    shown = {"worker": ("Ready ",), "manager": ("Ready Reachable", "Ready Leader")}[role]
    wait_for(f"{name} to be a {role}", lambda: standing(through)[name] in shown)


def test_every_manager_in_turn_is_demoted_and_promoted_under_load(cluster: Cluster) -> None:
    for host in cluster.hosts.values():
        host.import_hello("1")
    m1, w1 = cluster["m1"], cluster["w1"]
    m1.ctl("service", "create", "--detach", "--name", SERVICE, "--mode", "global", "hello:1")
    m1.wait_running(SERVICE)
    before = containers(cluster)
    ids = {name: node_id(m1, name) for name in HOSTS}
    writer = Writer(cluster)
    with writer.running():
        m1.ctl("node", "promote", "w1")
        becomes("w1", "manager", m1)
        for name in ("m1", "m2", "m3"):
            w1.ctl("node", "demote", name)
            becomes(name, "worker", w1)
            w1.ctl("node", "promote", name)
            becomes(name, "manager", w1)
        m1.ctl("node", "demote", "w1")
        becomes("w1", "worker", m1)
    labels = cluster["m2"].engine.get(f"/services/{SERVICE}")["Spec"]["Labels"]
    assert not set(writer.acked) - set(labels)
    assert len(writer.acked) > 20
    assert containers(cluster) == before
    assert {name: node_id(m1, name) for name in HOSTS} == ids


def test_a_node_is_promoted_though_it_is_killed_again_and_again(cluster: Cluster) -> None:
    m1, w1 = cluster["m1"], cluster["w1"]
    before = containers(cluster)
    m1.ctl("node", "promote", "w1")
    for wait_seconds in (0.0, 0.3):
        time.sleep(wait_seconds)
        cluster.kill("w1")
        cluster.start("w1")
    becomes("w1", "manager", m1)
    assert w1.engine.get("/info")["Swarm"]["ControlAvailable"]
    issued = node_tls(m1, "w1")
    m1.ctl("node", "demote", "w1")
    becomes("w1", "worker", m1)
    assert containers(cluster) == before
    assert node_tls(m1, "w1") == issued == m1.engine.get("/swarm")["TLSInfo"]


def node_tls(host: Host, name: str) -> dict[str, Any]:
    """Whom a node trusts, as it says itself."""
    node: dict[str, Any] = host.engine.get(f"/nodes/{node_id(host, name)}")
    tls: dict[str, Any] = node["Description"]["TLSInfo"]
    return tls
