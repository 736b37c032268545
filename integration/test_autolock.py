"""Locked managers as an operator lives with them: restarts, a rotation that one misses, the lock taken away again."""

import os
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.swarmctl.client import ApiError
from integration.cluster import Cluster, lab
from integration.host import Host, wait_for

MANAGERS = ("m1", "m2", "m3")
LOCKED = "Swarm is encrypted and needs to be unlocked before it can be used."


@pytest.fixture(scope="module")
def three() -> Iterator[Cluster]:
    """Three managers of a swarm that was made with ``--autolock``."""
    with lab(f"swarmd-l{os.getpid()}", MANAGERS) as cluster:
        cluster.start()
        first = cluster["m1"]
        told = first.ctl("swarm", "init", "--autolock", "--advertise-addr", first.address).stdout
        assert key_of(first) in told
        token = first.ctl("swarm", "join-token", "-q", "manager").stdout.strip()
        for name in ("m2", "m3"):
            cluster.join(name, token, first)
        yield cluster


def key_of(host: Host) -> str:
    return host.ctl("swarm", "unlock-key", "-q").stdout.strip()


def state(host: Host) -> str:
    return str(swarm(host)["LocalNodeState"])


def swarm(host: Host) -> dict[str, Any]:
    found: dict[str, Any] = host.engine.get("/info")["Swarm"]
    return found


def unlock(host: Host, key: str) -> str:
    """What it says when that is not the key; "" when it is."""
    return host.ctl("swarm", "unlock", text=f"{key}\n", check=False).stderr


def restarted(cluster: Cluster, *names: str) -> None:
    for name in names:
        cluster.kill(name)
    cluster.start(*names)


def swarm_directory(host: Host) -> Path:
    (found,) = host.directory.rglob("swarm-node.key")
    return found.parent.parent


def is_sealed(host: Host) -> bool:
    directory = swarm_directory(host)
    node_key = (directory / "certificates" / "swarm-node.key").read_bytes()
    key = directory / "raft" / "key"
    return b"ENCRYPTED" in node_key and key.exists() and len(key.read_bytes()) != 32


def in_clear(directory: Path, *secrets: str) -> list[str]:
    looked_for = [b"BEGIN PRIVATE KEY", b"BEGIN EC PRIVATE", *map(str.encode, secrets)]
    return [
        path.name
        for path in directory.rglob("*")
        if path.is_file() and any(secret in path.read_bytes() for secret in looked_for)
    ]


def reachable(host: Host) -> int:
    try:
        nodes = host.engine.get("/nodes")
    except ApiError:  # nobody leads yet
        return 0
    return sum(node.get("ManagerStatus", {}).get("Reachability") == "reachable" for node in nodes)


def test_locked_managers_live_through_restarts_and_a_rotation_that_one_of_them_misses(
    three: Cluster, tmp_path: Path
) -> None:
    m1, m3 = three["m1"], three["m3"]
    wait_for("all to be locked", lambda: all(map(is_sealed, three.hosts.values())))
    old = key_of(m1)
    three.kill("m3")
    expect_nothing_in(shutil.copytree(swarm_directory(m3), tmp_path / "stolen"), old)
    new = rotated_without_m3(three, old)
    three.start("m3")
    unlock_with(m3, old, refused=(new,))
    wait_for("three managers", lambda: reachable(m1) == 3)
    until_locked_again(m3)
    made_a_worker_and_a_manager_again(three, m3)
    restarted_all_and_one_leaves(three, old, new)
    m1.docker("swarm", "update", "--autolock=false")
    rest = m1, three["m2"]
    wait_for("m1 and m2 to be in clear", lambda: not any(map(is_sealed, rest)))
    restarted(three, "m1", "m2")
    wait_for("both to be managers", lambda: reachable(m1) == 2)


def rotated_without_m3(three: Cluster, old: str) -> str:
    m1, m2 = three["m1"], three["m2"]
    told = m1.ctl("swarm", "unlock-key", "--rotate").stdout
    new = key_of(m2)
    assert new in told
    assert new != old
    until_locked_again(m2)
    restarted(three, "m2")
    expect_locked(m2)
    unlock_with(m2, new, refused=(old, "nonsense"))
    return new


def made_a_worker_and_a_manager_again(three: Cluster, m3: Host) -> None:
    m1 = three["m1"]
    m1.ctl("node", "demote", "m3")
    wait_for("m3 to be a worker", lambda: not swarm(m3)["ControlAvailable"])
    wait_for("its log to be gone", lambda: not (swarm_directory(m3) / "raft").exists())
    restarted(three, "m3")
    assert state(m3) == "active", "a worker needs no key"
    m1.ctl("node", "promote", "m3")
    wait_for("m3 to be a locked manager", lambda: reachable(m1) == 3 and is_sealed(m3))


def restarted_all_and_one_leaves(three: Cluster, old: str, new: str) -> None:
    m1, m2, m3 = (three[name] for name in MANAGERS)
    restarted(three, *MANAGERS)
    assert m1.docker("info", "--format", "{{.Swarm.LocalNodeState}}").stdout.strip() == "locked"
    unlock_with(m1, new)
    unlock_with(m2, new)
    assert "invalid key" in unlock(m3, old), "it has caught up"
    assert "Please unlock it first or use" in m3.ctl("swarm", "leave", check=False).stderr
    m3.ctl("swarm", "leave", "--force")
    assert state(m3) == "inactive"
    wait_for("a leader", lambda: reachable(m1) == 2)


def expect_nothing_in(stolen: Path, key: str) -> None:
    """A copy of what is on a locked manager's disk gives nothing away."""
    assert in_clear(stolen, key, "SWMTKN-1") == []
    certificates = stolen / "certificates"
    with pytest.raises(ssl.SSLError):
        ssl.create_default_context().load_cert_chain(
            certificates / "swarm-node.crt", certificates / "swarm-node.key", password="x"
        )


def expect_locked(host: Host) -> None:
    assert (state(host), swarm(host)["ControlAvailable"]) == ("locked", False)
    for words in (("node", "ls"), ("swarm", "unlock-key"), ("service", "ls")):
        assert LOCKED in host.ctl(*words, check=False).stderr


def unlock_with(host: Host, key: str, *, refused: tuple[str, ...] = ()) -> None:
    for wrong in refused:
        assert "invalid key" in unlock(host, wrong)
        assert state(host) == "locked"
    assert unlock(host, key) == ""
    assert state(host) == "active"


def until_locked_again(host: Host) -> None:
    wait_for("the keys to be locked anew", lambda: host.tail(1000).count("keys are locked") == 2)
