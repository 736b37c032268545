"""Three managers as an operator lives with them: made, joined, killed, left, replaced, forced, saved and restored."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cli.swarmd.membership import MembershipFile
from integration.cluster import Cluster, lab
from integration.host import REPOSITORY, Host, wait_for

MANAGERS = ("m1", "m2", "m3")
NO_LEADER = "The swarm does not have a leader."
_numbers = itertools.count(1)


@contextmanager
def hosts(*names: str) -> Iterator[Cluster]:
    with lab(f"swarmd-n{os.getpid()}-{next(_numbers)}", names) as made:
        made.start()
        yield made


@pytest.fixture
def three() -> Iterator[Cluster]:
    with hosts(*MANAGERS) as cluster:
        cluster.form(MANAGERS)
        yield cluster


def token(host: Host, role: str = "manager") -> str:
    return host.ctl("swarm", "join-token", "-q", role).stdout.strip()


def nodes(host: Host, *, stale: bool = False) -> dict[str, dict[str, Any]]:
    """Nodes by host name, as one manager tells them."""
    found: list[dict[str, Any]] = host.engine.get("/nodes", **({"stale": "true"} if stale else {}))
    return {node["Description"]["Hostname"]: node for node in found}


def standing(host: Host) -> dict[str, str]:
    """What ``node ls`` says of each host, in short."""
    form = "{{.Hostname}} {{.Status}} {{.ManagerStatus}}"
    lines = host.ctl("node", "ls", "--format", form).stdout.splitlines()
    return {name: rest for name, _, rest in (line.partition(" ") for line in lines)}


def managers(host: Host) -> int:
    """How many nodes are managers that are reachable."""
    found = host.engine.get("/nodes")
    return sum(node.get("ManagerStatus", {}).get("Reachability") == "reachable" for node in found)


def state(host: Host) -> str:
    return host.ctl("info", "--format", "{{.Swarm.LocalNodeState}}").stdout.strip()


def _managers_in(file: MembershipFile) -> int:
    """How many managers a node remembers."""
    membership = file.read()
    return len(membership.managers) if membership is not None else 0


def containers(host: Host) -> set[str]:
    return set(host.ctl("container", "ls", "-q", "--no-trunc").stdout.split())


def others(name: str) -> list[str]:
    return [other for other in MANAGERS if other != name]


def create_everywhere(cluster: Cluster, through: Host) -> None:
    for host in cluster.hosts.values():
        host.import_hello("1")
    through.ctl("service", "create", "--detach", "--name", "hello", "--mode", "global", "hello:1")
    through.wait_running("hello")


# ------------------------------------------------------------------------------------ together


def test_every_manager_shows_and_changes_the_same_swarm(three: Cluster) -> None:
    leader = three.leader()
    expected = {name: "Ready Leader" if name == leader else "Ready Reachable" for name in MANAGERS}
    wait_for(
        "all to see the same",
        lambda: all(standing(host) == expected for host in three.hosts.values()),
    )
    follower = three[others(leader)[0]]
    create_everywhere(three, follower)
    for name, host in three.hosts.items():
        assert len(containers(host)) == 1, name
        assert len(host.running("hello")) == 3
    follower.ctl("service", "update", "--detach", "--label-add", "a=b", "hello")
    assert three[leader].engine.get("/services/hello")["Spec"]["Labels"] == {"a": "b"}


def test_a_killed_leader_is_followed_by_another_and_no_container_notices(three: Cluster) -> None:
    leader = three.leader()
    rest = others(leader)
    create_everywhere(three, three["m1"])
    before = {name: containers(host) for name, host in three.hosts.items()}
    three.kill(leader)
    second = three.leader(rest)
    assert second in rest
    three[second].ctl("service", "update", "--detach", "--label-add", "a=b", "hello")
    assert {name: containers(three[name]) for name in rest} == {name: before[name] for name in rest}
    three.start(leader)
    wait_for(
        "the killed one to be back",
        lambda: standing(three[second]).get(leader) == "Ready Reachable",
    )
    assert {name: containers(host) for name, host in three.hosts.items()} == before
    tasks = three[leader].tasks("hello")
    assert len(tasks) == 3, "no task was restarted"
    assert three[leader].engine.get("/services/hello")["Spec"]["Labels"] == {"a": "b"}


def test_without_quorum_stale_reads_and_containers_go_on(three: Cluster) -> None:
    create_everywhere(three, three["m1"])
    left = three["m3"]
    before = containers(left)
    three.kill("m1")
    three.kill("m2")

    def refusal() -> str:
        done = left.ctl("service", "update", "--detach", "--label-add", "x=y", "hello", check=False)
        return done.stderr if done.returncode else ""

    wait_for("writes to be refused", lambda: NO_LEADER in refusal())
    assert len(nodes(left, stale=True)) == 3
    left.stop(signal.SIGKILL)
    left.start()
    assert state(left) == "active"
    assert len(nodes(left, stale=True)) == 3
    assert containers(left) == before
    three.start("m1", "m2")
    wait_for("the swarm to write again", lambda: refusal() == "")
    assert containers(left) == before


# ------------------------------------------------------------------------------------- joining


def test_a_join_that_is_refused_leaves_nothing() -> None:
    with hosts("m1", "m2", "m3") as cluster:
        m1, m2, m3 = (cluster[name] for name in MANAGERS)
        m1.init()
        m3.init()

        def join(with_token: str, address: str = m1.address) -> str:
            done = m2.ctl("swarm", "join", "--token", with_token, f"{address}:2377", check=False)
            assert done.returncode != 0
            assert state(m2) == "inactive"
            assert not (m2.data_root / "swarm" / "node").exists()
            assert not (m2.data_root / "swarm" / "certificates").exists()
            return done.stderr

        good = token(m1)
        secret = good.rpartition("-")[2]
        wrong = good.replace(secret, secret[::-1])
        assert "A valid join token is necessary to join this cluster" in join(wrong)
        assert "not one of the swarm at" in join(token(m3))
        assert "invalid join token" in join("SWMTKN-1-nonsense")
        assert "could not reach any manager" in join(good, m2.address)
        assert set(nodes(m1)) == {"m1"}
        cluster.join("m2", good, m1)
        assert set(nodes(m2)) == {"m1", "m2"}
        again = m2.ctl("swarm", "join", "--token", good, f"{m1.address}:2377", check=False)
        assert "already part of a swarm" in again.stderr
        assert set(nodes(m1)) == {"m1", "m2"}


def test_joining_through_a_follower(three: Cluster) -> None:
    leader = three.leader()
    follower = three[others(leader)[0]]
    leaver = others(leader)[1]
    three[leaver].ctl("swarm", "leave", "--force")
    three.join(leaver, token(follower), follower)
    wait_for("three managers", lambda: managers(follower) == 3)
    assert state(three[leaver]) == "active"


@pytest.mark.parametrize("seconds", [0.3, 0.4, 0.5, 0.6, 0.7])
def test_a_joiner_that_is_killed_is_in_or_out(three: Cluster, seconds: float) -> None:
    leader = three.leader()
    joiner = three[others(leader)[0]]
    joiner.ctl("swarm", "leave", "--force")
    with joining(joiner, token(three[leader]), three[leader].address):
        time.sleep(seconds)
        joiner.stop(signal.SIGKILL)
    joiner.start()
    wait_for("it to have joined or not", lambda: state(joiner) != "pending")
    if state(joiner) == "inactive":
        assert not (joiner.data_root / "swarm" / "raft").exists()
        three.join(others(leader)[0], token(three[leader]), three[leader])
    wait_for("three managers", lambda: managers(joiner) == 3)


@contextmanager
def joining(host: Host, with_token: str, address: str) -> Iterator[None]:
    """A request to join is under way."""
    command = [sys.executable, "-m", "cli.swarmctl.main", "-H", host.socket, "swarm", "join"]
    asking = subprocess.Popen(
        [*command, "--token", with_token, f"{address}:2377"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=REPOSITORY,
    )  # fmt: skip
    try:
        yield
    finally:
        asking.wait(timeout=30)


# ------------------------------------------------------------------------- leaving and removing


def test_a_manager_leaves_and_joins_again(three: Cluster) -> None:
    leader = three.leader()
    rest = three[others(leader)[0]]
    refused = three[leader].ctl("swarm", "leave", check=False)
    assert refused.returncode != 0
    assert "participating as a manager" in refused.stderr
    three[leader].ctl("swarm", "leave", "--force")
    assert state(three[leader]) == "inactive"
    three.leader(others(leader))
    assert managers(rest) == 2
    old = nodes(rest)[leader]
    assert old["Spec"]["Role"] == "worker"
    rest.ctl("node", "rm", "--force", old["ID"])
    three.join(leader, token(rest), rest)
    assert nodes(three[leader])[leader]["ID"] != old["ID"]
    assert len(nodes(rest)) == 3


def test_the_last_manager_leaves() -> None:
    with hosts("m1") as cluster:
        m1 = cluster["m1"]
        m1.init()
        refused = m1.ctl("swarm", "leave", check=False)
        assert "Removing the last manager erases all current state of the swarm" in refused.stderr
        m1.ctl("swarm", "leave", "--force")
        assert state(m1) == "inactive"
        assert not (m1.data_root / "swarm" / "raft").exists()
        m1.init()
        assert state(m1) == "active"


def test_a_dead_manager_is_replaced_and_told_when_it_returns() -> None:
    with hosts(*MANAGERS, "m4") as cluster:
        cluster.form(MANAGERS)
        dead = others(cluster.leader())[0]
        alive = cluster[next(name for name in MANAGERS if name != dead)]
        node_id = nodes(alive)[dead]["ID"]
        cluster.kill(dead)
        wait_for(
            "it to be unreachable",
            lambda: nodes(alive)[dead]["ManagerStatus"]["Reachability"] == "unreachable",
        )
        alive.ctl("node", "demote", node_id)
        wait_for("it to be no member any more", lambda: "ManagerStatus" not in nodes(alive)[dead])
        alive.ctl("node", "rm", "--force", node_id)
        cluster.join("m4", token(alive), alive)
        assert len(nodes(alive)) == 3
        cluster.start(dead)
        wait_for("it to be told", lambda: state(cluster[dead]) == "error")
        error = cluster[dead].engine.get("/info")["Swarm"]["Error"]
        assert "is not part of this swarm" in error
        assert "is not part of this swarm" in cluster[dead].ctl("node", "ls", check=False).stderr
        assert "is no part of its swarm any more" in cluster[dead].log.read_text()
        cluster.stop(dead)
        cluster.start(dead)
        assert state(cluster[dead]) == "error"
        cluster[dead].ctl("swarm", "leave", "--force")
        assert state(cluster[dead]) == "inactive"
        cluster.join(dead, token(alive), alive)
        assert len(nodes(alive)) == 4


def test_a_demoted_manager_goes_on_as_a_worker_and_no_container_notices(three: Cluster) -> None:
    create_everywhere(three, three["m1"])
    demoted = three.leader()
    rest = three[others(demoted)[0]]
    before = {name: containers(host) for name, host in three.hosts.items()}
    rest.ctl("node", "demote", demoted)
    wait_for("it to be a worker", lambda: standing(rest)[demoted] == "Ready ")
    assert state(three[demoted]) == "active"
    three[demoted].stop()
    three[demoted].start()
    three.stop(others(demoted)[0])
    three.start(others(demoted)[0])
    wait_for("it to follow the leader", lambda: standing(rest)[demoted] == "Ready ")
    assert {name: containers(host) for name, host in three.hosts.items()} == before


def test_a_worker_joins_through_one_manager_and_follows_the_next_leader() -> None:
    with hosts(*MANAGERS, "w1") as cluster:
        cluster.form(MANAGERS, ("w1",))
        create_everywhere(cluster, cluster["m1"])
        before = containers(cluster["w1"])
        # It joined beside the others; where they are it learns with its next heartbeat.
        places = MembershipFile(cluster["w1"].data_root / "swarm/node")
        wait_for("it to know all managers", lambda: _managers_in(places) == len(MANAGERS))
        leader = cluster.leader(MANAGERS)
        cluster.kill(leader)
        rest = cluster[others(leader)[0]]
        cluster.leader(others(leader))
        wait_for("it to be heard", lambda: standing(rest)["w1"] == "Ready ")
        assert containers(cluster["w1"]) == before
        cluster["w1"].ctl("swarm", "leave")
        assert state(cluster["w1"]) == "inactive"


# ------------------------------------------------------------------------------------ disasters


@pytest.mark.parametrize("how", ["while it runs", "after a restart"])
def test_a_new_cluster_is_forced_out_of_the_last_manager(three: Cluster, how: str) -> None:
    create_everywhere(three, three["m1"])
    before, of_m1 = containers(three["m3"]), containers(three["m1"])
    three.kill("m1")
    three.kill("m2")
    last = three["m3"]
    if how == "after a restart":
        last.stop(signal.SIGKILL)
        last.start()
    last.ctl("swarm", "init", "--force-new-cluster")
    wait_for("its own agent to be back", lambda: standing(last)["m3"] == "Ready Leader")
    assert [name for name, node in nodes(last).items() if "ManagerStatus" in node] == ["m3"]
    assert containers(last) == before
    last.ctl("service", "update", "--detach", "--label-add", "a=b", "hello")
    three.start("m1")
    wait_for("a manager of before to be a worker", lambda: standing(last)["m1"] == "Ready ")
    assert containers(three["m1"]) == of_m1
    assert "Worker nodes can't be used" in three["m1"].ctl("node", "ls", check=False).stderr
    three["m1"].ctl("swarm", "leave")
    for node in nodes(last).values():
        if "ManagerStatus" not in node:
            last.ctl("node", "rm", "--force", node["ID"])
    three.join("m1", token(last), last)
    assert sorted(nodes(last)) == ["m1", "m3"]


def test_a_saved_swarm_is_restored_into_a_new_cluster(three: Cluster) -> None:
    create_everywhere(three, three["m1"])
    file = three.directory / "saved"
    three["m1"].ctl("swarm", "snapshot", "save", str(file))
    root = three["m1"].engine.get("/swarm")["TLSInfo"]["TrustRoot"]
    three["m1"].ctl("service", "rm", "hello")
    for name in MANAGERS:
        three[name].ctl("swarm", "leave", "--force")
    three["m2"].ctl(
        "swarm", "snapshot", "restore", "--advertise-addr", three["m2"].address, str(file)
    )
    m2 = three["m2"]
    wait_for(
        "its node to be ready",
        lambda: "Ready Leader" in standing(m2).values() and bool(m2.running("hello")),
    )
    assert m2.engine.get("/swarm")["TLSInfo"]["TrustRoot"] == root
    assert len(containers(m2)) == 1
    assert managers(m2) == 1
    three.join("m1", token(m2), m2)
    assert (
        json.loads(three["m1"].ctl("service", "inspect", "hello").stdout)[0]["Spec"]["Name"]
        == "hello"
    )
