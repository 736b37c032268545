"""The root of a swarm changes twice while a node is off and a leader dies; and a node is sent away."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.cluster import Cluster, lab
from integration.host import Host, wait_for

MANAGERS, WORKER, LATE = ("m1", "m2", "m3"), "w1", "w2"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with lab(f"swarmd-ca{os.getpid()}", (*MANAGERS, WORKER, LATE)) as made:
        made.start()
        made.form(MANAGERS, (WORKER,))
        yield made


def swarm(host: Host) -> dict[str, Any]:
    found: dict[str, Any] = host.engine.get("/swarm")
    return found


def issuers(host: Host) -> dict[str, str]:
    """The key of each node's issuer, by host name."""
    return {
        node["Description"]["Hostname"]: node["Description"]["TLSInfo"]["CertIssuerPublicKey"]
        for node in host.engine.get("/nodes")
    }


def have_followed(host: Host, names: tuple[str, ...]) -> bool:
    wanted, has = swarm(host)["TLSInfo"]["CertIssuerPublicKey"], issuers(host)
    return all(has[name] == wanted for name in names)


def own_root(directory: Path) -> tuple[Path, Path]:
    """A certificate authority as somebody has it already."""
    certificate, key = directory / "ca.crt", directory / "ca.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650"),
            *("-subj", "/CN=ours", "-addext", "keyUsage=critical,keyCertSign,cRLSign"),
            *("-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


def test_the_root_changes_twice_while_a_node_is_off(cluster: Cluster, tmp_path: Path) -> None:
    m1, m2, worker = cluster["m1"], cluster["m2"], cluster[WORKER]
    first = m1.ctl("swarm", "ca").stdout
    old_token = swarm(m1)["JoinTokens"]["Worker"]
    cluster.stop(WORKER)

    m1.ctl("swarm", "ca", "--rotate", "--detach")
    wait_for("managers to follow", lambda: have_followed(m2, MANAGERS))
    assert swarm(m2)["RootRotationInProgress"], "it waits for the worker"
    assert m2.ctl("swarm", "ca").stdout == first
    assert swarm(m2)["JoinTokens"]["Worker"] == old_token

    leader = cluster.leader()
    cluster.kill(leader)
    rest = tuple(name for name in MANAGERS if name != leader)
    wait_for("another leader", lambda: cluster.leader(rest) != leader)
    through = cluster[rest[0]]
    certificate, key = own_root(tmp_path)
    through.ctl("swarm", "ca", "--rotate", "-d", "--ca-cert", f"{certificate}", "--ca-key", f"{key}")  # fmt: skip
    wait_for("managers to follow again", lambda: have_followed(through, rest))
    cluster.start(leader)
    wait_for("the one that was killed to follow", lambda: have_followed(through, MANAGERS))
    assert swarm(through)["RootRotationInProgress"]

    cluster.start(WORKER)
    wait_for("the rotation to end", lambda: not swarm(through)["RootRotationInProgress"])
    assert through.ctl("swarm", "ca").stdout.strip() == certificate.read_text().strip()
    wait_for("all nodes to be Ready", lambda: cluster.ready(m1) >= {*MANAGERS, WORKER})
    info = worker.engine.get("/info")["Swarm"]
    assert info["LocalNodeState"] == "active"
    refused = cluster[LATE].ctl("swarm", "join", "--token", old_token, f"{m1.address}:2377", check=False)  # fmt: skip
    assert refused.returncode != 0
    assert "root" in refused.stderr or "token" in refused.stderr


def test_dockers_client_changes_it_and_sees_the_end(cluster: Cluster) -> None:
    m1 = cluster["m1"]
    before = m1.ctl("swarm", "ca").stdout
    done = m1.docker("swarm", "ca", "--rotate")
    root = m1.ctl("swarm", "ca").stdout
    assert root != before
    assert done.stdout.rstrip().endswith(root.rstrip())
    late = cluster[LATE]
    cluster.join(LATE, swarm(m1)["JoinTokens"]["Worker"], m1)
    wait_for("the late one to be Ready", lambda: LATE in cluster.ready(m1))
    assert late.engine.get("/info")["Swarm"]["LocalNodeState"] == "active"


def test_a_removed_node_is_told_so_and_its_certificate_is_refused(cluster: Cluster) -> None:
    m1, late = cluster["m1"], cluster[LATE]
    m1.ctl("node", "rm", "--force", LATE)
    wait_for("it to hear", lambda: late.engine.get("/info")["Swarm"]["LocalNodeState"] == "error")
    assert "not part of this swarm" in late.engine.get("/info")["Swarm"]["Error"]
