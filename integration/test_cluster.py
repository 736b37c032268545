"""The lab itself: what is done to its hosts befalls them and no one else, and nothing is left of it."""

import errno
import itertools
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.cluster import Cluster, lab
from integration.host import wait_for
from integration.links import namespaces
from integration.network_lab import open_in

HOSTS = ("m1", "m2", "m3")
DISK_BYTES = 64 * 1024 * 1024
PORT, SILENCE_SECONDS = 9999, 0.2
_numbers = itertools.count(1)


def new_name() -> str:
    return f"swarmd-l{os.getpid()}-{next(_numbers)}"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with lab(new_name(), HOSTS, disk_bytes=DISK_BYTES) as made:
        made.start()
        yield made


def learn_addresses(cluster: Cluster) -> None:
    """Each host knows the others' link addresses for good, so that asking for them does not go both ways."""
    for one, other in itertools.permutations(cluster.hosts.values(), 2):
        [link] = json.loads(one.inside("ip", "-j", "link", "show", "eth0").stdout)
        words = (
            "replace",
            one.address,
            "lladdr",
            link["address"],
            "dev",
            "eth0",
            "nud",
            "permanent",
        )
        other.inside("ip", "neigh", *words)


def hears(cluster: Cluster, speaker: str, listener: str) -> bool:
    """Whether a datagram gets from one to the other."""
    mouth, ear = (
        open_in(f"/run/netns/{cluster[name].name}", socket.SOCK_DGRAM)
        for name in (speaker, listener)
    )
    with mouth, ear:
        ear.bind(("0.0.0.0", PORT))
        ear.settimeout(SILENCE_SECONDS)
        mouth.sendto(b"x", (cluster[listener].address, PORT))
        try:
            return ear.recv(1) == b"x"
        except TimeoutError:
            return False


def heard(cluster: Cluster) -> set[str]:
    learn_addresses(cluster)
    pairs = itertools.permutations(HOSTS, 2)
    return {f"{one}>{other}" for one, other in pairs if hears(cluster, one, other)}


ALL = {"m1>m2", "m1>m3", "m2>m1", "m2>m3", "m3>m1", "m3>m2"}


def test_cuts(cluster: Cluster) -> None:
    assert heard(cluster) == ALL
    cluster.cut("m1", from_="m2", one_way=True)
    assert heard(cluster) == ALL - {"m1>m2"}
    cluster.cut("m1", from_="m2")
    assert heard(cluster) == ALL - {"m1>m2", "m2>m1"}
    cluster.heal()
    cluster.cut("m3", one_way=True)
    assert heard(cluster) == ALL - {"m3>m1", "m3>m2"}
    cluster.cut("m3")
    assert heard(cluster) == {"m1>m2", "m2>m1"}
    probe = ("busybox", "ping", "-c1", "-W1", cluster["m3"].address)
    assert cluster["m3"].from_client(*probe, check=False).returncode, "clients are cut off, too"
    assert cluster["m3"].ctl("version").returncode == 0, "its socket answers all the same"
    cluster.heal()
    assert heard(cluster) == ALL


def test_hosts_are_hosts(cluster: Cluster) -> None:
    names = {host.ctl("info", "--format", "{{.Name}}").stdout.strip() for host in cluster.hosts.values()}  # fmt: skip
    assert names == set(HOSTS)


def test_a_full_disk_takes_nothing_until_it_is_freed(cluster: Cluster) -> None:
    cluster.fill_disk("m2")
    with pytest.raises(OSError) as caught:  # noqa: PT011 - its number is looked at
        (cluster["m2"].data_root / "more").write_bytes(b"x" * 4096)
    assert caught.value.errno == errno.ENOSPC
    (cluster["m1"].data_root / "more").write_bytes(b"x" * 4096)
    cluster.free_disk("m2")
    (cluster["m2"].data_root / "more").write_bytes(b"x" * 4096)


def test_a_paused_swarmd_answers_when_it_goes_on(cluster: Cluster) -> None:
    process = cluster["m1"].process
    assert process is not None
    cluster.pause("m1")
    stat = Path(f"/proc/{process.pid}/stat")
    wait_for("swarmd to stand still", lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")
    cluster.resume("m1")
    assert cluster["m1"].ctl("version").returncode == 0


def test_a_power_cut_leaves_the_disk_and_nothing_else(cluster: Cluster) -> None:
    host = cluster["m3"]
    kept = host.data_root / "kept"
    kept.write_text("here")
    cluster.power_cut("m3")
    assert not list(host.processes())
    assert not host.cgroups()
    assert not host.exec_root.exists()
    cluster.start("m3")
    assert (kept.read_text(), hears(cluster, "m3", "m1")) == ("here", True)


def test_nothing_is_left_of_it() -> None:
    name = new_name()
    with lab(name, ("m1", "m2"), disk_bytes=DISK_BYTES) as cluster:
        cluster.start()
        cluster.pause("m1")
        cluster.fill_disk("m2")
        assert len(namespaces(name)) == 3
    assert not namespaces(name)
    assert not cluster.directory.exists()
    assert name not in Path("/proc/mounts").read_text()
    assert not [path for host in cluster.hosts.values() for path in host.cgroups()]
    assert not [pid for host in cluster.hosts.values() for pid in host.processes()]
