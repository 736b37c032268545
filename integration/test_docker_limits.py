"""What docker's client can share between containers and hold them back by, end to end."""

import time

from integration.host import Host, wait_for

IMAGE = "hello:1"


def shell(node: Host, *arguments: str, check: bool = True) -> str:
    *options, script = arguments
    words = ("run", "--no-healthcheck", *options, IMAGE, "/bin/sh", "-c", script)
    done = node.docker(*words, check=check)
    return done.stdout + ("" if check else done.stderr)


def test_two_containers_share_processes_memory_and_network(node: Host) -> None:
    shell(node, "-d", "--name", "owner", "--ipc", "shareable", "echo x > /dev/shm/x; sleep 1000")
    wait_for(
        "the owner",
        lambda: node.docker("exec", "owner", "cat", "/dev/shm/x", check=False).stdout == "x\n",
    )
    spaces = "for n in pid ipc net; do readlink /proc/self/ns/$n; done"
    of_owner = node.docker("exec", "owner", "/bin/sh", "-c", spaces).stdout
    shared = (
        "--pid",
        "container:owner",
        "--ipc",
        "container:owner",
        "--network",
        "container:owner",
    )
    said = shell(node, "--rm", *shared, f"{spaces}; cat /dev/shm/x; hostname")
    name = node.docker("exec", "owner", "hostname").stdout
    assert said == f"{of_owner}x\n{name}"
    assert "sleep 1000" in node.docker("top", "owner").stdout
    node.docker("rm", "-f", "owner")
    refused = shell(node, "--rm", "--pid", "container:owner", "true", check=False)
    assert "owner" in refused


def test_who_keeps_its_memory_to_itself_shares_it_with_nobody(node: Host) -> None:
    shell(node, "-d", "--name", "private", "sleep 1000")
    said = shell(node, "--rm", "--ipc", "container:private", "true", check=False)
    assert "non-shareable IPC" in said
    node.docker("rm", "-f", "private")


def test_a_memory_hog_is_killed_and_an_event_tells_it(node: Host) -> None:
    limit = ("--memory", "16m", "--memory-swap", "16m")
    done = node.docker(
        "run", "--no-healthcheck", "--name", "hog", *limit, IMAGE,
        "/bin/sh", "-c", "dd if=/dev/zero of=/dev/null bs=200M", check=False,
    )  # fmt: skip
    assert done.returncode == 137
    assert node.docker("inspect", "-f", "{{.State.OOMKilled}}", "hog").stdout == "true\n"
    until = str(int(time.time()) + 1)
    words = ("events", "--since", "60s", "--until", until, "--filter", "container=hog")
    events = node.docker(*words, "--format", "{{.Action}}").stdout.split()
    assert "oom" in events, events
    node.docker("rm", "hog")


def test_limits_change_while_it_runs_and_it_can_stand_still(node: Host) -> None:
    shell(node, "-d", "--name", "one", "--pids-limit", "20", "--memory", "32m", "sleep 1000")
    node.docker("update", "--pids-limit", "7", "--memory", "64m", "--memory-swap", "64m", "one")
    node.docker("update", "--cpuset-cpus", "0", "--cpus", "0.5", "one")
    allowed = node.docker("exec", "one", "grep", "Cpus_allowed_list", "/proc/1/status").stdout
    assert allowed.split() == ["Cpus_allowed_list:", "0"]
    form = "{{.PIDs}} {{.MemUsage}}"
    pids, *memory = node.docker("stats", "--no-stream", "--format", form, "one").stdout.split()
    assert (pids, memory[-1]) == ("1", "64MiB")
    node.docker("pause", "one")
    refused = node.docker("exec", "one", "true", check=False)
    assert "is paused" in refused.stderr
    node.docker("unpause", "one")
    assert node.docker("exec", "one", "echo", "on").stdout == "on\n"
    node.docker("rm", "-f", "one")
