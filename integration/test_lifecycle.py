"""Containers run by hand, over crashes of swarmd and of the machine: restarts, pauses, ports, removal, health."""

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from integration.host import Host, wait_for

SLEEP = ("/bin/sh", "-c", "exec sleep 1000")


@pytest.fixture(autouse=True)
def nothing_runs_on(node: Host) -> Iterator[None]:
    yield
    for container in node.api("GET", "/containers/json?all=true"):
        node.api("DELETE", f"/containers/{container['Id']}?force=true&v=true")


def run(node: Host, name: str, *argv: str, host: dict[str, Any] | None = None, **more: Any) -> str:
    """Makes and starts a container through the API."""
    wanted = {"Image": "hello:1", "Healthcheck": {"Test": ["NONE"]}, **more}
    if argv:
        wanted |= {"Entrypoint": list(argv)}
    body = json.dumps({**wanted, "HostConfig": host or {}})
    headers = ("-H", "Content-Type: application/json", "-d", body)
    made = node.api("POST", f"/containers/create?name={name}", *headers)
    assert "Id" in made, made
    refused = node.api("POST", f"/containers/{made['Id']}/start")
    assert refused is None, refused
    return str(made["Id"])


def look(node: Host, name: str) -> dict[str, Any]:
    found: dict[str, Any] = node.api("GET", f"/containers/{name}/json")
    return found


def state(node: Host, name: str) -> str:
    return str(look(node, name)["State"]["Status"])


def policy(name: str, count: int = 0) -> dict[str, Any]:
    return {"RestartPolicy": {"Name": name, "MaximumRetryCount": count}}


def crash(node: Host) -> None:
    node.stop(signal.SIGKILL)
    node.start()


def test_restarts_pauses_and_ports_go_on_over_a_crash_of_swarmd(node: Host) -> None:
    ports = {"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}
    run(node, "web", host={**policy("always"), **ports})
    run(node, "frozen", *SLEEP)
    run(node, "failing", "/bin/sh", "-c", "exit 5", host=policy("on-failure", 3))
    node.api("POST", "/containers/frozen/pause")
    wait_for("a page", lambda: "Hello" in node.page(check=False))
    wait_for("some restarts", lambda: look(node, "failing")["RestartCount"] >= 2)

    crash(node)

    assert "Hello" in node.page()
    assert state(node, "frozen") == "paused"
    wait_for("the last try", lambda: state(node, "failing") == "exited")
    failing = look(node, "failing")
    assert (failing["RestartCount"], failing["State"]["ExitCode"]) == (3, 5)
    node.api("POST", "/containers/frozen/unpause")
    assert state(node, "frozen") == "running"
    os.kill(look(node, "web")["State"]["Pid"], signal.SIGKILL)
    wait_for("it to run again", lambda: look(node, "web")["RestartCount"] == 1)
    wait_for("a page of it", lambda: "Hello" in node.page(check=False))


def test_what_ended_while_swarmd_was_away_is_restarted_or_removed(node: Host) -> None:
    run(node, "again", *SLEEP, host=policy("unless-stopped"))
    run(node, "gone", *SLEEP, host={"AutoRemove": True})
    pids = [look(node, name)["State"]["Pid"] for name in ("again", "gone")]
    node.stop(signal.SIGKILL)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    node.start()

    wait_for("its restart", lambda: state(node, "again") == "running")
    assert look(node, "again")["RestartCount"] == 1
    wait_for("its removal", lambda: "No such" in str(node.api("GET", "/containers/gone/json")))


def test_after_a_reboot_containers_run_as_their_policies_say(node: Host) -> None:
    ports = {"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}
    run(node, "always", host={**policy("always"), **ports})
    run(node, "stopped", *SLEEP, host=policy("unless-stopped"))
    run(node, "plain", *SLEEP)
    run(node, "frozen", *SLEEP)
    node.api("POST", "/containers/frozen/pause")
    node.api("POST", "/containers/stopped/stop?t=0")

    node.power_cut()
    node.start()

    wait_for("the one to run", lambda: state(node, "always") == "running")
    wait_for("a page", lambda: "Hello" in node.page(check=False))
    assert {state(node, name) for name in ("stopped", "plain", "frozen")} == {"exited"}
    assert look(node, "plain")["State"]["ExitCode"] == 255


def test_ports_on_one_address_any_free_port_and_a_conflict(node: Host) -> None:
    bindings = {
        "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8081"}, {"HostIp": "", "HostPort": ""}]
    }
    run(node, "web", host={"PortBindings": bindings})
    here = ("curl", "-sS", "-m", "3", "http://127.0.0.1:8081/")
    wait_for("a page", lambda: "Hello" in node.inside(*here, check=False).stdout)
    assert node.page(8081, check=False) == ""  # not from outside

    with pytest.raises(AssertionError, match="already allocated to container web"):
        run(node, "other", host={"PortBindings": {"80/tcp": [{"HostPort": "8081"}]}})

    shown = look(node, "web")["NetworkSettings"]["Ports"]["80/tcp"]
    (free,) = {int(one["HostPort"]) for one in shown} - {8081}
    assert "Hello" in node.page(free)


def test_health_is_asked_over_the_network_without_a_program(node: Host) -> None:
    times = {"Interval": 300_000_000, "Retries": 1, "StartPeriod": 1_000_000}
    run(node, "web", Labels={"swarmd.health.http": "80/"}, Healthcheck=times)
    run(node, "deaf", Labels={"swarmd.health.tcp": "81"}, Healthcheck=times)

    def health(name: str) -> Any:
        return look(node, name)["State"]["Health"]["Status"]

    wait_for("one to be healthy", lambda: health("web") == "healthy")
    wait_for("the other not to be", lambda: health("deaf") == "unhealthy")
    assert "HTTP/1.1 200" in look(node, "web")["State"]["Health"]["Log"][-1]["Output"]


def test_a_domain_and_a_shared_network(node: Host) -> None:
    run(node, "web", Hostname="web", Domainname="example.net")
    script = "cat /proc/sys/kernel/domainname; hostname; until wget -qO- http://127.0.0.1/; do sleep 0.1; done"
    host = {"NetworkMode": "container:web", "UTSMode": "container:web"}
    run(node, "beside", "/bin/sh", "-c", script, host=host)
    wait_for("its end", lambda: state(node, "beside") == "exited")

    lines = node.docker("logs", "beside").stdout.splitlines()
    assert (lines[:2], "Hello" in lines[-1]) == (["example.net", "web"], True)
