"""Containers that behave badly: the host stays well, the others run on, and nothing of them is left."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from integration.host import Host, wait_for
from integration.start_faults import traces

IMAGE = "hello:1"
LINES = 60_000
DISK_BYTES = 96 << 20


@pytest.fixture
def host(node: Host) -> Iterator[Host]:
    """The node that all share; what a test has left shows when the next one begins."""
    run(node, "--name", "neighbour", "exec sleep 1000")
    before = traces(node)
    yield node
    assert node.docker("inspect", "-f", "{{.State.Running}}", "neighbour").stdout == "true\n"
    bad = node.docker("ps", "-aq", "--filter", "name=bad").stdout.split()
    if bad:
        node.docker("rm", "-fv", *bad)
    wait_for("nothing to be left", lambda: traces(node) == before)
    node.docker("rm", "-f", "neighbour")


def run(host: Host, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    *options, script = arguments
    return host.docker(
        "run", "-d", "--no-healthcheck", *options, IMAGE, "/bin/sh", "-c", script, check=check
    )


def state(host: Host, name: str = "bad") -> dict[str, object]:
    found: dict[str, object] = json.loads(
        host.docker("inspect", "-f", "{{json .State}}", name).stdout
    )
    return found


def ends(host: Host, name: str = "bad") -> dict[str, object]:
    wait_for(f"{name} to end", lambda: state(host, name)["Status"] == "exited")
    return state(host, name)


def test_a_fork_bomb_stays_within_its_number_of_processes_and_is_killed_at_once(host: Host) -> None:
    run(host, "--name", "bad", "--pids-limit", "50", "bomb() { bomb | bomb & }; bomb; sleep 1000")
    wait_for(
        "the bomb to reach its bound",
        lambda: host.docker(
            "stats", "--no-stream", "--format", "{{.PIDs}}", "bad", check=False
        ).stdout.strip().isdigit(),
    )  # fmt: skip
    began = time.monotonic()
    host.docker("rm", "-f", "bad")
    assert time.monotonic() - began < 15


def test_a_memory_hog_is_killed_and_told_of(host: Host) -> None:
    since = str(int(time.time()))
    run(host, "--name", "bad", "--memory", "16m", "tail /dev/zero")
    found = ends(host)
    assert (found["OOMKilled"], found["ExitCode"]) == (True, 137)
    events = host.docker(
        "events", "--since", since, "--until", str(int(time.time()) + 1), "--filter", "container=bad",
        "--format", "{{.Action}}",
    ).stdout.split()  # fmt: skip
    assert "oom" in events


def test_a_flood_of_lines_is_kept_whole_and_in_order(host: Host) -> None:
    script = f"i=0; while [ $i -lt {LINES} ]; do echo $i; i=$((i+1)); done"
    run(host, "--name", "bad", "--log-opt", "max-size=-1", script)
    lines = host.docker("logs", "-f", "bad").stdout.split()
    assert lines == [str(number) for number in range(LINES)]
    took = ends(host)
    assert took["ExitCode"] == 0


def test_who_ignores_sigterm_is_killed_after_the_grace(host: Host) -> None:
    run(host, "--name", "bad", "trap '' TERM; while :; do sleep 1; done")
    began = time.monotonic()
    host.docker("stop", "-t", "1", "bad")
    assert 1 <= time.monotonic() - began < 8
    assert state(host)["ExitCode"] == 137


@pytest.mark.parametrize(("options", "left"), [((), 20), (("--init",), 0)])
def test_zombies_are_buried_by_an_init_and_go_with_their_container(
    host: Host, options: tuple[str, ...], left: int
) -> None:
    script = "i=0; while [ $i -lt 20 ]; do i=$((i+1)); (sleep 1 &); done; exec sleep 1000"
    run(host, "--name", "bad", *options, script)

    def processes() -> list[str]:
        return host.docker("exec", "bad", "ps", "-o", "stat,args").stdout.splitlines()

    wait_for("all to have ended", lambda: not [one for one in processes() if "sleep 1" in one[-7:]])
    assert len([one for one in processes() if one.startswith("Z")]) == left


def test_of_many_starts_at_once_one_happens(host: Host) -> None:
    program = (IMAGE, "/bin/sh", "-c", "sleep 9")
    made = host.docker("create", "--name", "bad", "--no-healthcheck", *program).stdout.strip()
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: host.docker("start", "bad", check=False), range(8)))
    assert all(one.returncode == 0 for one in done)
    events = host.docker(
        "events", "--since", "60s", "--until", str(int(time.time()) + 1), "--filter", f"container={made}",
        "--filter", "event=start", "--format", "{{.Action}}",
    ).stdout.split()  # fmt: skip
    assert events == ["start"]


def test_a_full_disk_fails_who_filled_it_and_nobody_else() -> None:
    host = Host(
        f"swarmd-full{os.getpid()}", Path(f"/tmp/swarmd-full{os.getpid()}"), disk_bytes=DISK_BYTES
    )
    try:
        host.make()
        host.start()
        host.import_hello("1")
        run(host, "--name", "neighbour", "while :; do echo alive; sleep 0.2; done")
        run(host, "--name", "bad", "cat /dev/zero > /full; sleep 1000")
        wait_for("a full disk", lambda: os.statvfs(host.data_root).f_bavail == 0)
        assert state(host, "neighbour")["Running"] is True
        failed = host.docker("run", "-d", "--name", "late", IMAGE, "/serve", check=False)
        assert failed.returncode in (0, 125), failed.stderr
        host.docker("rm", "-f", "bad")
        host.docker("rm", "-f", "late", check=False)
        before = len(host.docker("logs", "neighbour").stdout.splitlines())
        wait_for(
            "lines again",
            lambda: len(host.docker("logs", "neighbour").stdout.splitlines()) > before,
        )
        run(host, "--name", "after", "exec sleep 1000")
        host.docker("rm", "-f", "neighbour", "after")
    finally:
        host.erase()
