"""A user's day with a service: deploy, ask, scale, update, break, repair."""

import json
import os
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from integration.host import ADDRESS, Host, wait_for
from integration.links import inside


def test_three_replicas_share_a_port(host: Host) -> None:
    host.create_hello("--replicas", "3")
    pages = Counter(host.page() for _ in range(60))
    replicas = {page.split("replica ")[1].split(",")[0] for page in pages}
    assert replicas == {"1", "2", "3"}
    assert min(pages.values()) >= 5, f"the load is not spread evenly: {pages}"


def test_a_port_answers_on_the_loopback_too(host: Host) -> None:
    host.create_hello()
    assert (
        "Hello from version 1"
        in host.inside("curl", "-sS", "-m", "5", "http://127.0.0.1:8080/").stdout
    )
    assert (
        "Hello from version 1"
        in host.inside("curl", "-sS", "-m", "5", f"http://{ADDRESS}:8080/").stdout
    )


def test_scaling_up_and_down_loses_no_request(host: Host) -> None:
    host.create_hello("--replicas", "2")
    with host.load() as load:
        assert "hello scaled to 5" in host.ctl("service", "scale", "hello=5").stdout
        host.ctl("service", "scale", "hello=1")
        wait_for("one task", lambda: len(host.running("hello")) == 1)
    assert load.failures == []
    assert load.requests > 100


def test_a_rolling_update_loses_no_request(host: Host) -> None:
    host.create_hello("--replicas", "3", "--update-monitor", "500ms")
    with host.load() as load:
        done = host.ctl(
            "service", "update", "--image", "hello:2", "--update-parallelism", "1", "hello"
        )
    assert "Service hello converged" in done.stdout
    assert load.failures == []
    assert load.requests > 100
    assert {task["Spec"]["ContainerSpec"]["Image"] for task in host.running("hello")} == {"hello:2"}
    assert "version 2" in host.page()


def test_an_image_that_is_nowhere_pauses_the_update_and_fails_the_command(host: Host) -> None:
    host.create_hello("--replicas", "2")
    done = host.ctl("service", "update", "--image", "hello:none", "hello", check=False)
    assert done.returncode == 1
    assert "service update paused" in done.stderr
    assert "No such image: hello:none" in done.stderr
    assert len(host.running("hello")) == 2
    rejected = [task for task in host.tasks("hello") if task["Status"]["State"] == "rejected"]
    assert rejected[0]["Status"]["Err"] == "No such image: hello:none"


def test_a_bad_image_rolls_back_without_a_failed_request(host: Host) -> None:
    host.create_hello("--replicas", "2", "--update-failure-action", "rollback")
    with host.load() as load:
        done = host.ctl("service", "update", "--image", "hello:none", "hello", check=False)
    assert done.returncode == 1
    assert "rolled back" in done.stderr
    assert load.failures == []
    host.wait_running("hello")
    assert {task["Spec"]["ContainerSpec"]["Image"] for task in host.running("hello")} == {"hello:1"}


def test_a_rollback_that_is_asked_for_succeeds(host: Host) -> None:
    host.create_hello("--update-monitor", "200ms", "--rollback-monitor", "200ms")
    host.ctl("service", "update", "--image", "hello:2", "hello")
    host.ctl("service", "rollback", "hello")
    assert "version 1" in host.page()


def test_a_service_whose_image_is_nowhere_is_accepted_and_does_not_converge(host: Host) -> None:
    done = host.ctl(
        "service", "create", "--name", "none", "--restart-delay", "100ms", "none:1", check=False
    )
    assert done.returncode == 1
    assert "No such image: none:1" in done.stderr
    assert host.ctl("service", "rm", "none").stdout.strip() == "none"


def test_a_killed_container_is_replaced(host: Host) -> None:
    host.create_hello("--replicas", "2")
    (victim, other) = host.running("hello")
    os.kill(victim["Status"]["ContainerStatus"]["PID"], signal.SIGKILL)
    wait_for(
        "a replacement", lambda: victim["ID"] not in {task["ID"] for task in host.running("hello")}
    )
    host.wait_running("hello")
    (failed,) = [task for task in host.tasks("hello") if task["ID"] == victim["ID"]]
    assert failed["Status"]["State"] == "failed"
    assert failed["Status"]["Err"] == "task: non-zero exit (137)"
    assert other["ID"] in {task["ID"] for task in host.running("hello")}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_restart_of_swarmd_loses_nothing(host: Host, number: signal.Signals) -> None:
    host.ctl(
        "service", "create", "--detach", "--name", "count", "--replicas", "2", "--no-healthcheck",
        "--entrypoint", "/bin/sh -c", "hello:1",
        "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.01; done",
    )  # fmt: skip
    host.create_hello("--replicas", "2")
    before = {
        task["ID"]: task["Status"]["ContainerStatus"]["PID"] for task in host.running("hello")
    }
    counting = [task["ID"] for task in host.running("count")]
    host.stop(number)
    for pid in before.values():
        os.kill(pid, 0)
    host.start()
    host.wait_running("hello")
    assert {
        task["ID"]: task["Status"]["ContainerStatus"]["PID"] for task in host.running("hello")
    } == before
    assert "Hello" in host.page()
    for task_id in counting:
        lines = host.ctl("service", "logs", "--raw", task_id).stdout.splitlines()
        assert lines == [f"line {number}" for number in range(1, len(lines) + 1)]
        assert len(lines) > 20


def test_a_container_that_ends_while_swarmd_is_away_is_replaced(host: Host) -> None:
    host.create_hello("--replicas", "1")
    (victim,) = host.running("hello")
    host.stop(signal.SIGKILL)
    os.kill(victim["Status"]["ContainerStatus"]["PID"], signal.SIGKILL)
    host.start()
    wait_for("a replacement", lambda: [t for t in host.running("hello") if t["ID"] != victim["ID"]])
    (failed,) = [task for task in host.tasks("hello") if task["ID"] == victim["ID"]]
    assert failed["Status"]["Err"] == "task: non-zero exit (137)"


def test_an_unhealthy_task_is_replaced_and_gets_no_traffic(host: Host) -> None:
    host.create_hello(
        "--replicas", "2", "--health-cmd", "test ! -e /sick", "--health-interval", "200ms", "--health-retries", "2",
    )  # fmt: skip
    (victim, _) = host.running("hello")
    pid = victim["Status"]["ContainerStatus"]["PID"]
    Path(f"/proc/{pid}/root/sick").touch()
    wait_for(
        "the unhealthy task to fail",
        lambda: [
            t
            for t in host.tasks("hello")
            if t["ID"] == victim["ID"] and t["Status"]["State"] == "failed"
        ],
    )
    (failed,) = [task for task in host.tasks("hello") if task["ID"] == victim["ID"]]
    assert failed["Status"]["Err"] == "task: unhealthy container"
    host.wait_running("hello")


def test_a_port_taken_by_a_process_of_the_host_is_an_error_of_the_task(host: Host) -> None:
    command = [*inside(host.name), "busybox", "nc", "-l", "-p", "8080"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as taker:
        wait_for("the port to be taken", lambda: ":8080" in host.inside("ss", "-ltn").stdout)
        host.ctl("service", "create", "-d", "--name", "late", "--publish", "8080:80", "hello:1")
        wait_for(
            "the error on the task",
            lambda: [t for t in host.tasks("late") if "8080" in t["Status"].get("Err", "")],
        )
        taker.kill()


def test_global_service_runs_once_on_the_node(host: Host) -> None:
    host.ctl("service", "create", "-d", "--name", "everywhere", "--mode", "global", "hello:1")
    host.wait_running("everywhere")
    (task,) = host.running("everywhere")
    assert "Slot" not in task or task["Slot"] == 0


def test_limits_and_what_the_container_sees(host: Host) -> None:
    host.ctl(
        "service", "create", "-d", "--name", "box", "--no-healthcheck", "--limit-memory", "64m", "--limit-pids", "32",
        "--hostname", "box-{{.Task.Slot}}", "--env", "WHO={{.Service.Name}}", "--mount", "type=tmpfs,target=/scratch",
        "--mount", "type=volume,source=data,target=/data", "--entrypoint", "/bin/sh -c", "hello:1",
        "hostname; echo $WHO; id -u; echo kept > /data/file; mount | grep scratch; ls /dev; sleep 1000",
    )  # fmt: skip
    host.wait_running("box")

    def output() -> str:
        out = host.ctl("service", "logs", "--raw", "box").stdout
        return out if "zero" in out else ""

    out = wait_for("its output", output)
    assert out.startswith("box-1\nbox\n0\n")
    assert "tmpfs on /scratch" in out
    assert (host.data_root / "volumes/data/_data/file").read_text() == "kept\n"


def test_logs_of_all_tasks_come_together(host: Host) -> None:
    host.ctl(
        "service", "create", "-d", "--name", "talk", "--replicas", "2", "--no-healthcheck",
        "--env", "SLOT={{.Task.Slot}}", "--entrypoint", "/bin/sh -c", "hello:1",
        "echo out $SLOT; echo err $SLOT >&2; sleep 1000",
    )  # fmt: skip
    host.wait_running("talk")

    def logs() -> subprocess.CompletedProcess[str] | None:
        done = host.ctl("service", "logs", "talk")
        return done if len(done.stdout.splitlines()) == len(done.stderr.splitlines()) == 2 else None

    done = wait_for("two lines on each stream", logs)
    assert done is not None
    assert {line.split("| ")[1] for line in done.stdout.splitlines()} == {"out 1", "out 2"}
    assert {line.split(".")[1] for line in done.stderr.splitlines()} == {"1", "2"}


def test_events_tell_what_happened(host: Host) -> None:
    host.create_hello()
    host.ctl("service", "rm", "hello")
    wait_for("its containers to go", lambda: not host.ctl("container", "ls", "-aq").stdout)
    seen = [
        json.loads(line)
        for line in host.ctl(
            "events", "--since", "1h", "--until", "0s", "--format", "json"
        ).stdout.splitlines()
    ]
    kinds = {(event["Type"], event["Action"]) for event in seen}
    assert {
        ("service", "create"),
        ("service", "remove"),
        ("container", "start"),
        ("container", "die"),
    } <= kinds
