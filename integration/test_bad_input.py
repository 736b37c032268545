"""Bad input gets a clear error, changes nothing and loses nothing."""

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from integration.host import REPOSITORY, Host
from integration.links import inside, run


@pytest.fixture
def still(shared_host: Host) -> Host:
    """The host; afterwards it must have the same services and images, and a live swarmd."""
    return shared_host


def state(host: Host) -> tuple[str, str]:
    images = host.ctl(
        "image", "ls", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"
    ).stdout
    return host.ctl("service", "ls", "-q").stdout, images


REFUSED = {
    "an unknown flag": (["service", "create", "--colour", "red", "hello:1"], 2, "No such option"),
    "no image": (["service", "create"], 2, "Missing argument"),
    "a name that is none": (["service", "create", "-d", "--name", "a b", "hello:1"], 1, "name"),
    "a negative limit": (["service", "create", "-d", "--limit-cpu", "-1", "hello:1"], 2, "negative"),
    "a constraint that is none": (["service", "create", "-d", "--constraint", "node.x", "hello:1"], 1, "constraint"),
    "the same port twice": (
        ["service", "create", "-d", "-p", "8090:80", "-p", "8090:81", "hello:1"], 1, "duplicate published ports",
    ),
    "a mount without source": (
        ["service", "create", "-d", "--mount", "type=bind,target=/x", "hello:1"], 1, "source",
    ),
    "an image name that is none": (["service", "create", "-d", "UPPER:1"], 1, "not a valid repository/tag"),
    "a service that is not there": (["service", "update", "--image", "x", "nothing"], 1, "service nothing not found"),
    "a second swarm": (["swarm", "init"], 1, "already part of a swarm"),
    "leaving as the last manager": (["swarm", "leave"], 1, "last manager"),
    "a job": (["service", "create", "-d", "--mode", "replicated-job", "hello:1"], 1, "job"),
    "an image that is not there": (["image", "rm", "nothing:1"], 1, "No such image"),
    "an unknown filter": (["service", "ls", "--filter", "colour=red"], 1, "invalid filter"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "code", "message"), REFUSED.values(), ids=REFUSED)
def test_refuses(still: Host, arguments: list[str], code: int, message: str) -> None:
    before = state(still)
    done = still.ctl(*arguments, check=False)
    assert (done.returncode, message.lower() in done.stderr.lower()) == (code, True), done.stderr
    assert state(still) == before


def test_a_taken_name_and_a_taken_port(still: Host) -> None:
    still.ctl(
        "service", "create", "-d", "--name", "first", "-p", "8091:80", "--replicas", "0", "hello:1"
    )
    try:
        name = still.ctl("service", "create", "-d", "--name", "first", "hello:1", check=False)
        assert "name conflicts with an existing object: service first already exists" in name.stderr
        port = still.ctl(
            "service", "create", "-d", "--name", "second", "-p", "8091:80", "hello:1", check=False
        )
        assert "port '8091' is already in use by service 'first'" in port.stderr
        assert port.returncode == 1
    finally:
        still.ctl("service", "rm", "first")


def test_a_stale_version_changes_nothing(still: Host) -> None:
    still.ctl("service", "create", "-d", "--name", "versioned", "--replicas", "0", "hello:1")
    try:
        found = still.api("GET", "/services/versioned")
        answer = still.api(
            "POST", f"/services/versioned/update?version={found['Version']['Index'] - 1}",
            "-d", json.dumps(found["Spec"]), "-H", "Content-Type: application/json",
        )  # fmt: skip
        assert "update out of sequence" in answer["message"]
        assert still.api("GET", "/services/versioned")["Version"] == found["Version"]
    finally:
        still.ctl("service", "rm", "versioned")


def memory_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("path", ["/services/create", "/swarm/init"])
def test_two_gigabytes_of_json_are_refused_in_bounded_memory(still: Host, path: str) -> None:
    assert still.process is not None
    before = memory_bytes(still.process.pid)
    feed = f"import sys\nfor _ in range(2048): sys.stdout.buffer.write(b'[' * {1024**2})"
    socket = still.socket.removeprefix("unix://")
    command = [
        "curl",
        "-sS",
        "--unix-socket",
        socket,
        "-X",
        "POST",
        "-T",
        "-",
        "-w",
        "%{http_code}",
    ]
    command += ["-H", "Content-Type: application/json", f"http://localhost{path}"]
    with subprocess.Popen(
        [sys.executable, "-c", feed], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as feeder:
        done = subprocess.run(
            command, stdin=feeder.stdout, capture_output=True, text=True, timeout=60, check=False
        )
        feeder.kill()
    assert done.stdout.endswith("413"), done
    assert memory_bytes(still.process.pid) - before < 200 * 1024**2


def member(name: str, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def archive(*members: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for info in members:
            tar.addfile(info, io.BytesIO(b"x" * info.size))
    return buffer.getvalue()


HOSTILE: dict[str, Callable[[], bytes]] = {
    "an absolute path": lambda: archive(member("/etc/evil", size=1)),
    "a path that leaves": lambda: archive(member("a/../../evil", size=1)),
    "a device node": lambda: archive(
        member("disk", type=tarfile.BLKTYPE, devmajor=254, devminor=0)
    ),
    "a hard link that leaves": lambda: archive(
        member("l", type=tarfile.LNKTYPE, linkname="../../../etc/passwd")
    ),
    "a truncated archive": lambda: archive(member("a", size=10_000))[:5_000],
    "no archive at all": lambda: b"this is not a tar archive" * 100,
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_archive_is_refused_and_leaves_nothing(
    still: Host, make: Callable[[], bytes]
) -> None:
    path = still.directory / "hostile.tar"
    path.write_bytes(make())
    before = state(still)
    done = still.ctl("image", "import", str(path), "evil:1", check=False)
    assert done.returncode == 1
    assert len(done.stderr) > 20
    assert state(still) == before
    assert not Path("/etc/evil").exists()
    assert not list(still.data_root.rglob("evil"))


def test_a_wrong_setting_stops_swarmd_with_a_sentence(tmp_path: Path) -> None:
    settings = tmp_path / "swarmd.yaml"
    settings.write_text("data-rot: /x\n")
    done = run(
        sys.executable,
        "-m",
        "cli.swarmd.main",
        "--config-file",
        settings,
        check=False,
        cwd=REPOSITORY,
    )
    assert done.returncode == 1
    assert "did you mean 'data-root'?" in done.stderr


def test_a_second_swarmd_on_the_same_directories_is_refused(still: Host) -> None:
    done = run(
        *inside(still.name), sys.executable, "-m", "cli.swarmd.main", "--data-root", still.data_root,
        "--exec-root", still.exec_root, "--cgroup-parent", still.cgroup_parent, check=False, cwd=REPOSITORY,
    )  # fmt: skip
    assert done.returncode == 1
    assert "runs already" in done.stderr
