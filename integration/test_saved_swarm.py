"""A swarm of three managers is saved, dies, and lives on out of its file; what users see of managers on the way."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.cluster import Cluster, lab
from integration.host import Host, wait_for

MANAGERS = ("m1", "m2", "m3")
NO_LEADER = "The swarm does not have a leader."


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with lab(f"swarmd-s{os.getpid()}", hosts=(*MANAGERS, "m4")) as made:
        made.start()
        made.form(managers=MANAGERS)
        yield made


def _standing(host: Host, *words: str) -> dict[str, str]:
    """MANAGER STATUS by host name."""
    shown = host.ctl(*words, "node", "ls", "--format", "{{.Hostname}} {{.ManagerStatus}}").stdout
    lines = (line.partition(" ") for line in shown.splitlines())
    return {hostname: status for hostname, _, status in lines}


def test_any_manager_shows_and_changes_the_whole_swarm(cluster: Cluster) -> None:
    leader = cluster.leader()
    follower, other = (cluster[name] for name in MANAGERS if name != leader)
    expected = {name: "Leader" if name == leader else "Reachable" for name in MANAGERS}
    wait_for("all to see all", lambda: all(_standing(cluster[m]) == expected for m in MANAGERS))
    follower.ctl("node", "update", "--label-add", "rack=1", other.hostname or "")
    shown = json.loads(other.ctl("node", "inspect", "self").stdout)
    assert shown[0]["Spec"]["Labels"] == {"rack": "1"}


def test_a_dead_manager_is_demoted_and_removed(cluster: Cluster) -> None:
    leader = cluster.leader()
    dead, _ = (name for name in MANAGERS if name != leader)
    cluster[dead].stop(signal.SIGKILL)
    ctl = cluster[leader].ctl
    wait_for("it to be noticed", lambda: _standing(cluster[leader])[dead] == "Unreachable")
    assert f"Manager {dead} demoted in the swarm." in ctl("node", "demote", dead).stdout
    wait_for("its removal", lambda: _standing(cluster[leader])[dead] == "")
    ctl("node", "rm", "--force", dead)
    assert dead not in _standing(cluster[leader])


def test_a_lone_manager_reads_stale_and_starts_anew(cluster: Cluster) -> None:
    one, *rest = MANAGERS
    for name in rest:
        cluster[name].stop(signal.SIGKILL)
    refused = cluster[one].ctl("service", "ls", check=False)
    assert NO_LEADER in refused.stderr
    assert set(_standing(cluster[one], "--stale")) == set(MANAGERS)
    info = json.loads(cluster[one].ctl("info", "--format", "json").stdout)
    assert NO_LEADER in info["Swarm"]["Error"]
    cluster[one].ctl("swarm", "init", "--force-new-cluster")
    standing = _standing(cluster[one])
    assert standing[one] == "Leader"
    assert not any(standing[name] for name in rest)


def test_a_saved_swarm_lives_on_elsewhere(cluster: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "swarm.saved"
    leader = cluster.leader()
    follower = next(cluster[name] for name in MANAGERS if name != leader)
    follower.ctl("node", "update", "--label-add", "kept=yes", "m1")
    before = json.loads(follower.ctl("swarm", "inspect").stdout)[0]
    follower.ctl("swarm", "snapshot", "save", str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    found = json.loads(
        follower.ctl("swarm", "snapshot", "inspect", "--format", "json", str(file)).stdout
    )
    assert (found["ClusterID"], found["Objects"]["node"]) == (before["ID"], 3)
    for name in MANAGERS:
        cluster[name].stop(signal.SIGKILL)
    anew = cluster["m4"]
    told = anew.ctl(
        "swarm", "snapshot", "restore", "--advertise-addr", anew.address, str(file)
    ).stdout
    assert told.startswith("Swarm restored: current node (")
    after = json.loads(anew.ctl("swarm", "inspect").stdout)[0]
    assert (after["ID"], after["JoinTokens"]) == (before["ID"], before["JoinTokens"])
    assert _standing(anew)["m4"] == "Leader"
    m1 = json.loads(anew.ctl("node", "inspect", "m1").stdout)[0]
    assert m1["Spec"]["Labels"] == {"kept": "yes"}
