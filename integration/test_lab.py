"""``swarmctl lab`` as a newcomer uses it: up, looked at, used, broken, mended, down; and nothing is left of it."""

import hashlib
import io
import json
import os
import pty
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.lab.lab import Lab
from cli.lab.programs import environment
from cli.lab.records import Plan, Records
from integration.host import COMPILED, REPOSITORY, wait_for
from integration.links import inside, namespaces, run

NAME = f"swarmd-lt{os.getpid()}"
SWARMCTL = (sys.executable, "-m", "cli.swarmctl.main")
PAGE = "Hello from version 1"


def lab(command: str, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return run(
        *SWARMCTL, "lab", command, "--name", NAME, *words,
        check=check, cwd=REPOSITORY, env=environment(COMPILED),
    )  # fmt: skip


def on(host: str, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return lab("exec", host, "--", *command, check=check)


def ctl(host: str, *words: str) -> str:
    return on(host, *SWARMCTL, *words).stdout.strip()


def listed(column: str) -> dict[str, str]:
    lines = lab("ls", "--format", f"{{{{.Host}}}} {{{{.{column}}}}}").stdout.splitlines()
    return {host: rest for host, _, rest in (line.partition(" ") for line in lines)}


def wait_listed(column: str, expected: dict[str, str]) -> None:
    wait_for(f"{column} {expected}", lambda: listed(column) == expected)


def left_of(name: str) -> list[str]:
    records = Records()
    made = Lab(Plan(name=name, managers=3, workers=3, network="10.124.0.0/24"), records)
    places = [records.state(name), records.memory(name)]
    left = [trace for host in made.hosts.values() for trace in host.traces()]
    return [*left, *namespaces(name), *(str(path) for path in places if path.exists())]


def image_archive(name: str) -> bytes:
    """What ``docker save`` would write of an image with one small file."""
    layer = packed({"file": b"x"})
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    files = {"config.json": json.dumps(config).encode(), "layer.tar": layer}
    return packed(files | {"manifest.json": json.dumps(manifest).encode()})


def packed(files: dict[str, bytes]) -> bytes:
    kept = io.BytesIO()
    with tarfile.open(fileobj=kept, mode="w") as tar:
        for name, data in files.items():
            item = tarfile.TarInfo(name)
            item.size = len(data)
            tar.addfile(item, io.BytesIO(data))
    return kept.getvalue()


@pytest.fixture(scope="module")
def up() -> Iterator[None]:
    words = ("--managers", "1", "--workers", "1", "--dispatcher-heartbeat", "1s")
    try:
        assert "2 nodes are Ready" in lab("up", *words).stdout
        yield
    finally:
        lab("down", check=False)
    assert left_of(NAME) == []


@pytest.mark.usefixtures("up")
class TestLab:
    def test_all_is_there(self) -> None:
        assert listed("Node") == {"m1": "Ready", "w1": "Ready"}
        assert listed("ManagerStatus") == {"m1": "Leader", "w1": ""}
        assert namespaces(NAME) == [NAME, f"{NAME}-m1", f"{NAME}-w1"]
        for host in ("m1", "w1"):
            words = ("docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}")
            images = on(host, *words).stdout.split()
            assert sorted(images) == ["busybox:latest", "hello:1", "hello:2"]

    def test_names_are_checked(self) -> None:
        assert "already" in lab("up", check=False).stderr
        assert "its hosts are m1, w1" in lab("kill", "m1", "w9", check=False).stderr
        assert listed("State") == {"m1": "running", "w1": "running"}, "nothing befell the other"

    def test_a_command_is_the_hosts_own(self) -> None:
        script = "hostname; test -d /sys/fs/cgroup && cat; exit 7"
        done = subprocess.run(
            [*SWARMCTL, "lab", "exec", "--name", NAME, "w1", "--", "sh", "-c", script],
            input="said\n", capture_output=True, text=True, check=False,
            cwd=REPOSITORY, env=environment(COMPILED),
        )  # fmt: skip
        assert (done.stdout, done.returncode) == ("w1\nsaid\n", 7)
        assert on("m1", "no-such-program", check=False).returncode == 127
        assert on("m1", "docker", "info", "--format", "{{.Name}}").stdout.strip() == "m1"

    def test_a_terminal_is_a_terminal(self) -> None:
        ours, theirs = pty.openpty()
        command = [
            *SWARMCTL,
            "lab",
            "exec",
            "--name",
            NAME,
            "m1",
            "--",
            "sh",
            "-c",
            "tty && read x",
        ]
        with subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs,
            cwd=REPOSITORY, env=environment(COMPILED), start_new_session=True,
        ) as process:  # fmt: skip
            os.close(theirs)
            assert b"/dev/pts/" in os.read(ours, 1000)
            os.write(ours, b"\n")
            assert process.wait(10) == 0
        os.close(ours)

    def test_loads_images_on_every_host(self, tmp_path: Path) -> None:
        saved = tmp_path / "saved.tar"
        saved.write_bytes(image_archive("loaded:1"))
        lab("load", str(saved))
        for host in ("m1", "w1"):
            assert on(host, "docker", "image", "inspect", "loaded:1").returncode == 0
        saved.write_bytes(b"")
        assert lab("load", str(saved), "w1", check=False).returncode == 1

    def test_what_befalls_hosts(self) -> None:
        words = ("--replicas", "2", "--publish", "8080:80", "--restart-delay", "100ms")
        ctl("m1", "service", "create", "--detach", "--name", "hello", *words, "hello:1")
        wait_for("both to run", lambda: "2/2" in ctl("m1", "service", "ls"))
        url = f"http://{listed('Address')['m1']}:8080/"
        assert PAGE in on("w1", "curl", "-sS", "-m", "5", url).stdout
        assert PAGE in run(*inside(NAME), "curl", "-sS", "-m", "5", url).stdout

        lab("cut", "w1", "--from", "m1", "--one-way")
        assert listed("State")["m1"] == "running, does not hear w1"
        wait_listed("Node", {"m1": "Ready", "w1": "Down"})
        lab("heal", "m1")
        wait_listed("Node", {"m1": "Ready", "w1": "Ready"})

        lab("pause", "w1")
        assert listed("State")["w1"] == "paused"
        assert "resume" in lab("start", "w1", check=False).stderr
        lab("resume", "w1")
        lab("restart", "w1")
        lab("kill", "--daemon", "m1")
        assert listed("State") == {"m1": "stopped", "w1": "running"}
        assert PAGE in on("w1", "curl", "-sS", "-m", "5", url).stdout, "containers go on"

        lab("kill", "w1")
        assert listed("State")["w1"] == "off"
        assert "is off" in on("w1", "true", check=False).stderr
        lab("start", "m1", "w1")
        wait_listed("Node", {"m1": "Ready", "w1": "Ready"})
        assert "swarmd is ready" in lab("logs", "w1").stdout
        assert len(lab("logs", "-n", "1", "w1").stdout.splitlines()) == 1
        lab("stop", "w1")
        assert listed("State")["w1"] == "stopped"


OTHER = f"{NAME}-o"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["ended", "killed"])
def test_what_was_begun_is_taken_away(number: signal.Signals) -> None:
    words = [*SWARMCTL, "lab", "up", "--name", OTHER, "--managers", "1", "--workers", "1"]
    process = subprocess.Popen(
        words, cwd=REPOSITORY, env=environment(COMPILED), stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            if "starting" in line:
                break
        time.sleep(0.2)  # some of it has begun
        process.send_signal(number)
        code = process.wait(60)
    if number is signal.SIGKILL:
        down = [*SWARMCTL, "lab", "down", "--name", OTHER]
        run(*down, cwd=REPOSITORY, env=environment(COMPILED))
    else:
        assert code == 130
    assert left_of(OTHER) == []
