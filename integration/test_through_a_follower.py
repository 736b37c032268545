"""What a manager that does not lead does for others: it brings logs, reaches nodes, and passes sessions on."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.lab.programs import environment
from integration.cluster import Cluster, lab
from integration.host import COMPILED, REPOSITORY, Host, wait_for
from integration.typist import AWAIT_SIZE, SHOW_SIZE, Typist

MANAGERS = ("m1", "m2", "m3")
PERIOD_SECONDS = 2
TICKS = "i=0; while true; do i=$((i+1)); echo tick $i of $SLOT; sleep 0.5; done"


@pytest.fixture(scope="module")
def four() -> Iterator[Cluster]:
    with lab(f"swarmd-f{os.getpid()}", (*MANAGERS, "w1")) as cluster:
        cluster.start()
        cluster.form(
            MANAGERS, ("w1",), {"Dispatcher": {"HeartbeatPeriod": PERIOD_SECONDS * 1_000_000_000}}
        )
        for name in ("m1", "w1"):
            cluster[name].import_hello("1")
        cluster["m1"].ctl(
            "service", "create", "-d", "--name", "talk", "--replicas", "2", "--no-healthcheck",
            "--constraint", "node.hostname!=m2", "--constraint", "node.hostname!=m3",
            "--env", "SLOT={{.Task.Slot}}",
            "--entrypoint", "/bin/sh -c", "hello:1", TICKS,
        )  # fmt: skip
        cluster["m1"].wait_running("talk")
        yield cluster


def node(cluster: Cluster, name: str, asked: str) -> dict[str, Any]:
    """A node as some manager tells it."""
    (found,) = (
        one for one in cluster[asked].engine.get("/nodes") if one["Description"]["Hostname"] == name
    )
    return dict(found)


def test_logs_come_from_all_nodes_on_every_manager(four: Cluster) -> None:
    for name in MANAGERS:
        lines = four[name].ctl("service", "logs", "talk").stdout.splitlines()
        assert {line.rpartition(" of ")[2] for line in lines} == {"1", "2"}, name
    follower = next(name for name in MANAGERS if name != four.leader())
    done = four[follower].docker("service", "logs", "--raw", "--tail", "1", "talk")
    assert len(done.stdout.splitlines()) == 2


def elsewhere(host: Host, node_name: str, method: str, path: str, *more: str) -> Any:
    """Asks a host for what another node's engine says."""
    return host.api(method, path, "-H", f"X-Swarmd-Node: {node_name}", *more)


def test_every_manager_reaches_the_engine_of_every_node(four: Cluster) -> None:
    own = {name: four[name].api("GET", "/containers/json?all=1") for name in (*MANAGERS, "w1")}
    assert own["m1"]
    assert own["w1"]
    for asked in MANAGERS:
        for name in (*MANAGERS, "w1"):
            found = elsewhere(four[asked], name, "GET", "/v1.44/containers/json?all=1")
            assert [one["Id"] for one in found] == [one["Id"] for one in own[name]], (asked, name)
    by_id = node(four, "w1", "m1")["ID"]
    assert elsewhere(four["m2"], by_id, "GET", "/info")["Name"] == "w1"
    missing = elsewhere(four["m2"], "w1", "GET", "/containers/nobody/json")
    assert missing == {"message": "No such container: nobody"}
    assert elsewhere(four["m1"], "nowhere", "GET", "/info") == {"message": "node nowhere not found"}
    assert "not a swarm manager" in elsewhere(four["w1"], "m1", "GET", "/info")["message"]
    # What is about the cluster is the same wherever it is asked.
    assert len(elsewhere(four["m1"], "w1", "GET", "/nodes")) == 4


def test_what_is_large_comes_and_goes_whole(four: Cluster, tmp_path: Path) -> None:
    archive = tmp_path / "hello.tar"
    with archive.open("wb") as file:
        subprocess.run([REPOSITORY / "examples/hello/build.sh"], stdout=file, check=True)
    assert archive.stat().st_size > 1 << 20
    follower = next(name for name in MANAGERS if name != four.leader())
    before = len(elsewhere(four[follower], "w1", "GET", "/images/json"))
    said = four[follower].docker(
        "--config", docker_config(tmp_path, "w1"), "import", str(archive), "sent:1"
    )  # chunked
    assert said.stdout.startswith("sha256:")
    assert len(elsewhere(four[follower], "w1", "GET", "/images/json")) == before + 1
    assert [one["RepoTags"] for one in four["w1"].api("GET", "/images/json")].count(["sent:1"]) == 1


def test_a_stream_from_another_node_goes_on_and_ends_with_its_reader(
    four: Cluster, tmp_path: Path
) -> None:
    follower = next(name for name in MANAGERS if name != four.leader())
    config = docker_config(tmp_path, "w1")
    name = four[follower].docker("--config", config, "ps", "--format", "{{.Names}}").stdout.strip()
    with subprocess.Popen(
        ["docker", "--config", config, "logs", "-f", "--tail", "1", name],
        env={"DOCKER_HOST": four[follower].socket, "PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE, text=True,
    ) as following:  # fmt: skip
        assert following.stdout is not None
        assert all(following.stdout.readline().startswith("tick") for _ in range(3))
        following.kill()
    # Each reader that leaves gives its place back: many more than are allowed at once, one after another.
    for _ in range(40):
        assert elsewhere(four[follower], "w1", "GET", "/containers/json")


def test_a_process_on_another_node_is_spoken_to_as_one_here(four: Cluster, tmp_path: Path) -> None:
    follower = next(name for name in MANAGERS if name != four.leader())
    config = docker_config(tmp_path, "w1")
    name = four[follower].docker("--config", config, "ps", "--format", "{{.Names}}").stdout.strip()
    sent = "".join(f"line {number}\n" for number in range(50_000))
    done = subprocess.run(
        ["docker", "--config", config, "exec", "-i", name, "/bin/sh", "-c", "cat; exit 3"],
        env={"DOCKER_HOST": four[follower].socket, "PATH": os.environ["PATH"]},
        input=sent, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout == sent


def test_a_terminal_on_another_node_is_as_one_here(four: Cluster) -> None:
    follower = four[next(name for name in MANAGERS if name != four.leader())]
    there = node(four, "w1", follower.hostname)["ID"]
    (slot,) = (task["Slot"] for task in follower.running("talk") if task["NodeID"] == there)
    words = ("exec", "-it", f"talk.{slot}", "/bin/sh")
    command = (sys.executable, "-m", "cli.swarmctl.main", "-H", follower.socket, *words)
    with Typist(command, cwd=REPOSITORY, env=environment(COMPILED)) as shell:
        shell.sees(b"# ")
        shell.type(b'echo "<$SLOT>"\r')
        shell.sees(b"<%d>" % slot)
        shell.type(SHOW_SIZE)
        shell.sees(b"<24 80>")
        shell.resize(50, 132)
        shell.type(AWAIT_SIZE % (50, 132))
        shell.sees(b"<that size>")
        shell.sees(b"# ")
        shell.type(b"/bin/sh -c 'echo \"<go\"ing\\>; exec sleep 1000'\r")
        shell.sees(b"<going>\r\n")
        shell.type(b"\x03")
        shell.sees(b"# ")
        shell.type(b"exit 6\r")
        assert shell.ended() == 6


def test_files_and_figures_of_tasks_are_had_by_their_names(four: Cluster, tmp_path: Path) -> None:
    follower = four[next(name for name in MANAGERS if name != four.leader())]
    (tmp_path / "file").write_bytes(os.urandom(1_000_000))
    there = node(four, "w1", follower.hostname)["ID"]
    (slot,) = (task["Slot"] for task in follower.running("talk") if task["NodeID"] == there)
    name = f"talk.{slot}"
    follower.ctl("cp", str(tmp_path / "file"), f"{name}:/tmp/there")
    follower.ctl("cp", f"{name}:/tmp/there", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == (tmp_path / "file").read_bytes()
    assert "tick" in follower.ctl("logs", "--tail", "1", name).stdout
    assert name in follower.ctl("stats", "--no-stream", name).stdout
    words = ("run", "--rm", "--node", "w1", "hello:1", "/bin/busybox", "hostname")
    made = follower.ctl(*words, "-f", check=False)
    assert made.returncode == 0, made.stderr
    assert "talk." in follower.ctl("ps", "--node", "w1").stdout


def docker_config(directory: Path, node_name: str) -> str:
    """Settings of Docker's client by which it speaks to one node."""
    settings = {"HttpHeaders": {"X-Swarmd-Node": node_name}}
    (directory / "config.json").write_text(json.dumps(settings))
    return str(directory)


def test_following_on_a_follower_ends_with_a_reason_when_the_leader_stops(four: Cluster) -> None:
    leader = four.leader()
    follower = next(name for name in MANAGERS if name != leader)
    following = subprocess.Popen(
        [
            sys.executable, "-m", "cli.swarmctl.main", "-H", four[follower].socket,
            "service", "logs", "--raw", "-f", "--tail", "5", "talk",
        ],
        cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert following.stdout is not None
        seen = {following.stdout.readline().rpartition(" of ")[2] for _ in range(20)}
        assert seen == {"1\n", "2\n"}
        four[leader].stop()
        _, errors = following.communicate(timeout=20)
        assert "the manager that leads has changed" in errors
    finally:
        following.kill()
        following.wait()
    four.start(leader)
    wait_for("all to be Ready", lambda: len(four.ready(four[follower])) == 4)


def test_a_worker_that_is_cut_from_the_leader_stays_ready_through_another_manager(
    four: Cluster,
) -> None:
    leader = four.leader()
    follower = next(name for name in MANAGERS if name != leader)
    containers = four["w1"].ctl("container", "ls", "-q").stdout
    four.cut("w1", from_=leader)
    try:
        states = set()
        until = time.monotonic() + 5 * PERIOD_SECONDS
        while time.monotonic() < until:
            states.add(node(four, "w1", follower)["Status"]["State"])
            time.sleep(0.2)
        assert "down" not in states
        assert four.leader() == leader
        wait_for(
            "w1 to be Ready",
            lambda: node(four, "w1", follower)["Status"]["State"] == "ready",
            seconds=3 * PERIOD_SECONDS,
        )
        assert node(four, "w1", follower)["Status"]["Addr"] == four["w1"].address
        raw = four[follower].ctl("service", "logs", "--raw", "--tail", "1", "talk").stdout
        assert len(raw.splitlines()) == 2
        assert elsewhere(four[leader], "w1", "GET", "/containers/json")
    finally:
        four.heal()
    assert four["w1"].ctl("container", "ls", "-q").stdout == containers


def test_a_node_that_is_down_is_named(four: Cluster) -> None:
    four.kill("w1")
    asked = four.leader()
    wait_for("w1 to be Down", lambda: node(four, "w1", asked)["Status"]["State"] == "down")
    follower = next(name for name in MANAGERS if name != asked)
    done = four[follower].ctl("service", "logs", "--raw", "talk", check=False)
    assert f"node {node(four, 'w1', asked)['ID']} is not available" in done.stderr
    refused = elsewhere(four[follower], "w1", "GET", "/containers/json")
    assert refused == {"message": "node w1 is down"}
    assert "some logs could not be retrieved for the following reasons" in done.stderr
    assert done.stdout
