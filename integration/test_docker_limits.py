"""What docker's client can share between containers and hold them back by, end to end."""

import time
from collections.abc import Iterator

import pytest

from integration.conftest import make_host
from integration.host import Host, wait_for

IMAGE = "hello:1"


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    host = make_host()
    try:
        host.import_hello("1")
        yield host
        host.docker("rm", "-f", *host.docker("ps", "-aq").stdout.split(), check=False)
    except BaseException:
        host.erase()
        raise
    host.remove()


def shell(host: Host, *arguments: str, check: bool = True) -> str:
    *options, script = arguments
    words = ("run", "--no-healthcheck", *options, IMAGE, "/bin/sh", "-c", script)
    done = host.docker(*words, check=check)
    return done.stdout + ("" if check else done.stderr)


def test_two_containers_share_processes_memory_and_network(host: Host) -> None:
    shell(host, "-d", "--name", "owner", "--ipc", "shareable", "echo x > /dev/shm/x; sleep 1000")
    wait_for(
        "the owner",
        lambda: host.docker("exec", "owner", "cat", "/dev/shm/x", check=False).stdout == "x\n",
    )
    spaces = "for n in pid ipc net; do readlink /proc/self/ns/$n; done"
    of_owner = host.docker("exec", "owner", "/bin/sh", "-c", spaces).stdout
    shared = (
        "--pid",
        "container:owner",
        "--ipc",
        "container:owner",
        "--network",
        "container:owner",
    )
    said = shell(host, "--rm", *shared, f"{spaces}; cat /dev/shm/x; hostname")
    name = host.docker("exec", "owner", "hostname").stdout
    assert said == f"{of_owner}x\n{name}"
    assert "sleep 1000" in host.docker("top", "owner").stdout
    host.docker("rm", "-f", "owner")
    refused = shell(host, "--rm", "--pid", "container:owner", "true", check=False)
    assert "owner" in refused


def test_who_keeps_its_memory_to_itself_shares_it_with_nobody(host: Host) -> None:
    shell(host, "-d", "--name", "private", "sleep 1000")
    said = shell(host, "--rm", "--ipc", "container:private", "true", check=False)
    assert "non-shareable IPC" in said
    host.docker("rm", "-f", "private")


def test_a_memory_hog_is_killed_and_an_event_tells_it(host: Host) -> None:
    limit = ("--memory", "16m", "--memory-swap", "16m")
    done = host.docker(
        "run", "--no-healthcheck", "--name", "hog", *limit, IMAGE,
        "/bin/sh", "-c", "dd if=/dev/zero of=/dev/null bs=200M", check=False,
    )  # fmt: skip
    assert done.returncode == 137
    assert host.docker("inspect", "-f", "{{.State.OOMKilled}}", "hog").stdout == "true\n"
    until = str(int(time.time()) + 1)
    words = ("events", "--since", "60s", "--until", until, "--filter", "container=hog")
    events = host.docker(*words, "--format", "{{.Action}}").stdout.split()
    assert "oom" in events, events
    host.docker("rm", "hog")


def test_limits_change_while_it_runs_and_it_can_stand_still(host: Host) -> None:
    shell(host, "-d", "--name", "one", "--pids-limit", "20", "--memory", "32m", "sleep 1000")
    host.docker("update", "--pids-limit", "7", "--memory", "64m", "--memory-swap", "64m", "one")
    host.docker("update", "--cpuset-cpus", "0", "--cpus", "0.5", "one")
    allowed = host.docker("exec", "one", "grep", "Cpus_allowed_list", "/proc/1/status").stdout
    assert allowed.split() == ["Cpus_allowed_list:", "0"]
    form = "{{.PIDs}} {{.MemUsage}}"
    pids, *memory = host.docker("stats", "--no-stream", "--format", form, "one").stdout.split()
    assert (pids, memory[-1]) == ("1", "64MiB")
    host.docker("pause", "one")
    refused = host.docker("exec", "one", "true", check=False)
    assert "is paused" in refused.stderr
    host.docker("unpause", "one")
    assert host.docker("exec", "one", "echo", "on").stdout == "on\n"
    host.docker("rm", "-f", "one")
