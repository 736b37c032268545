"""Servers as Debian packages them, on a root made by debootstrap: they start, serve, stop cleanly, keep their data."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.conftest import make_host
from integration.host import Host, wait_for

PACKAGES = "nginx-light,redis-server,postgresql-15"
RELEASE = "bookworm"
IMAGE = "debian-servers:1"
UNNEEDED = (
    "dev",
    "var/cache/apt",
    "var/lib/apt/lists",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
)
POSTGRES = "/usr/lib/postgresql/15/bin"
SETTINGS = "/etc/postgresql/15/main/postgresql.conf"
CLUSTER = "/var/lib/postgresql/15/main"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Debian with the three servers, installed by their own scripts."""
    path = tmp_path_factory.mktemp("debootstrap") / "root"
    done = subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", RELEASE, path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return path


@pytest.fixture(scope="module")
def host(root: Path) -> Iterator[Host]:
    made = make_host()
    try:
        left_out = " ".join(f"--exclude=./{name}/*" for name in UNNEEDED)
        line = f"tar -C {root} {left_out} -c . | docker import - {IMAGE}"
        subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            env={"DOCKER_HOST": made.socket, "PATH": os.environ["PATH"]},
            check=True,
        )
        yield made
        made.docker("rm", "-f", *made.docker("ps", "-aq").stdout.split(), check=False)
    finally:
        made.erase()


def address(host: Host, name: str) -> str:
    return host.docker(
        "inspect", "-f", "{{.NetworkSettings.Networks.bridge.IPAddress}}", name
    ).stdout.strip()


def stops_cleanly(host: Host, name: str) -> None:
    """By its stop signal, in time, with the code of an orderly end."""
    host.docker("stop", "-t", "20", name)
    state = host.docker("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name).stdout
    assert state.strip() == "exited 0", host.docker("logs", "--tail", "20", name).stdout


def test_nginx_serves_and_stops(host: Host) -> None:
    host.docker(
        "run", "-d", "--name", "web", "--stop-signal", "SIGQUIT", IMAGE,
        "nginx", "-g", "daemon off;",
    )  # fmt: skip
    url = f"http://{address(host, 'web')}/"
    page = wait_for("nginx", lambda: host.inside("curl", "-sS", "-m", "5", url, check=False).stdout)
    assert "Welcome to nginx!" in page
    processes = host.docker("top", "web").stdout
    assert "nginx: master process" in processes
    assert "nginx: worker process" in processes
    host.docker("exec", "web", "nginx", "-s", "reload")
    assert "Welcome" in host.inside("curl", "-sS", "-m", "5", url).stdout
    stops_cleanly(host, "web")
    host.docker("rm", "web")


def test_redis_keeps_what_it_was_told_over_a_restart(host: Host) -> None:
    host.docker(
        "run", "-d", "--name", "cache", "--user", "redis", "-v", "cache:/var/lib/redis",
        "--workdir", "/var/lib/redis", IMAGE, "redis-server", "--appendonly", "yes",
    )  # fmt: skip

    def ask(*words: str) -> str:
        return host.docker("exec", "cache", "redis-cli", *words, check=False).stdout.strip()

    wait_for("redis", lambda: ask("ping") == "PONG")
    assert ask("set", "answer", "42") == "OK"
    stops_cleanly(host, "cache")
    host.docker("start", "cache")
    wait_for("redis again", lambda: ask("ping") == "PONG")
    assert ask("get", "answer") == "42"
    stops_cleanly(host, "cache")
    host.docker("rm", "cache")


def test_postgres_keeps_what_was_committed_though_swarmd_is_killed(host: Host) -> None:
    host.docker(
        "run", "-d", "--name", "base", "--user", "postgres", "--stop-signal", "SIGINT",
        "--shm-size", "128m", "-v", f"base:{CLUSTER}",  # which the package has filled
        IMAGE, f"{POSTGRES}/postgres", "-D", CLUSTER, "-c", f"config_file={SETTINGS}",
    )  # fmt: skip

    def sql(text: str) -> str:
        return host.docker("exec", "base", "psql", "-Atc", text, "postgres", check=False).stdout

    wait_for("postgres", lambda: sql("select 1") == "1\n")
    assert sql("create table t as select generate_series(1, 10000) as n") == "SELECT 10000\n"
    host.stop(signal.SIGKILL)
    host.start()
    assert sql("select sum(n) from t") == "50005000\n"
    stops_cleanly(host, "base")
    host.docker("start", "base")
    wait_for("postgres again", lambda: sql("select 1") == "1\n")
    assert sql(
        "select count(*), pg_postmaster_start_time() > now() - interval '1 hour' from t"
    ) == ("10000|t\n")
    stops_cleanly(host, "base")
    host.docker("rm", "base")
