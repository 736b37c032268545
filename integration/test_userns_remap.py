"""Containers whose root is nobody on the host."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.conftest import lone_host
from integration.host import Host

IMAGE = "hello:1"


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with lone_host("--userns-remap", "default") as made:
        yield made


def run(host: Host, *arguments: str) -> str:
    *options, script = arguments
    return host.docker("run", "--rm", *options, IMAGE, "/bin/sh", "-c", script).stdout


def test_root_of_a_container_is_nobody_on_the_host(host: Host, tmp_path: Path) -> None:
    inside, outside, size = run(host, "cat /proc/self/uid_map").split()
    assert (inside, size) == ("0", "65536")
    assert int(outside) >= 100_000
    secret = tmp_path / "secret"
    secret.write_text("of the host's root")
    secret.chmod(0o600)
    bind = f"{tmp_path}:/host"
    for attempt in (
        "cat /host/secret",
        "echo x > /host/new",
        "chown 0 /host/secret",
        "rm /host/secret",
    ):
        done = host.docker("run", "--rm", "-v", bind, IMAGE, "/bin/sh", "-c", attempt, check=False)
        assert done.returncode != 0, attempt
    assert secret.read_text() == "of the host's root"
    assert run(host, "--userns", "host", "-v", bind, "cat /host/secret") == "of the host's root"


def test_files_of_containers_belong_to_who_they_seem_to_belong_to(host: Host) -> None:
    run(host, "-v", "data:/data", "echo kept > /data/f; chown 7:8 /data/f")
    place = host.docker("volume", "inspect", "-f", "{{.Mountpoint}}", "data").stdout.strip()
    owner = Path(place, "f").stat()
    assert (owner.st_uid, owner.st_gid) in ((7, 8), (100_007, 100_008)), owner
    assert run(host, "-v", "data:/data", "cat /data/f; stat -c '%u %g' /data/f") == "kept\n7 8\n"
    shared = run(host, "--userns", "host", "-v", "data:/data", "stat -c '%u %g' /data/f")
    assert shared == f"{owner.st_uid} {owner.st_gid}\n"
    host.docker("volume", "rm", "data")


def test_exec_cp_and_commit_work_in_it(host: Host, tmp_path: Path) -> None:
    host.docker(
        "run", "-d", "--name", "one", "--no-healthcheck", IMAGE, "/bin/sh", "-c", "sleep 1000"
    )
    assert host.docker("exec", "one", "id", "-u").stdout == "0\n"
    assert host.docker("exec", "-u", "7", "one", "id", "-u").stdout == "7\n"
    (tmp_path / "f").write_text("sent")
    host.docker("cp", str(tmp_path / "f"), "one:/f")
    assert host.docker("exec", "one", "stat", "-c", "%u", "/f").stdout == "0\n"
    host.docker("cp", "one:/f", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "sent"
    host.docker("commit", "one", "made:1")
    assert host.docker("run", "--rm", "made:1", "/bin/sh", "-c", "cat /f").stdout == "sent"
    host.docker("rm", "-f", "one")


def test_what_would_undo_it_is_refused(host: Host) -> None:
    for option in (("--pid", "host"), ("--network", "host"), ("--privileged",)):
        done = host.docker("run", "--rm", *option, IMAGE, "/bin/sh", "-c", "true", check=False)
        assert done.returncode == 125, option
        assert "user namespace" in done.stderr, done.stderr


@pytest.mark.skipif(shutil.which("crun") is None, reason="crun is not here")
def test_an_oci_runtime_maps_no_users_and_is_refused_by_name(host: Host) -> None:
    options = ("run", "--rm", "--runtime", "crun")
    done = host.docker(*options, IMAGE, "true", check=False)
    assert done.returncode == 125
    assert "--userns-remap under the runtime crun is not available" in done.stderr
    said = host.docker(*options, "--userns", "host", IMAGE, "cat", "/proc/self/uid_map").stdout
    assert said.split() == ["0", "0", "4294967295"]
    assert not host.docker("ps", "-aq").stdout
