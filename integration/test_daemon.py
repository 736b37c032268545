"""The daemon's life: starting, stopping, failing, full disks, reboots, and who may speak to it."""

import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.certificates import Authority
from integration.conftest import make_host
from integration.host import ADDRESS, REPOSITORY, Host, wait_for
from integration.links import inside, run

STOP_SECONDS = 10.0
PATCHED = """
import {module} as patched
{patch}
from cli.swarmd.main import main
main()
"""


def patched(host: Host, module: str, patch: str) -> None:
    """From its next start on, this host runs a swarmd in which something is otherwise."""
    path = host.directory / "patched.py"
    path.write_text(PATCHED.format(module=module, patch=patch))
    host.program = (path,)


def unpatched(host: Host) -> None:
    host.program = ("-m", "cli.swarmd.main")


def last_line(host: Host) -> str:
    return host.log.read_text().splitlines()[-1]


def container_ids(host: Host) -> set[str]:
    return set(host.ctl("container", "ls", "-q", "--no-trunc").stdout.split())


@contextlib.contextmanager
def following(host: Host, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A swarmctl whose answer never ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.swarmctl.main", "-H", host.socket, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=REPOSITORY,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def raw_connection(host: Host) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(20)
    connection.connect(host.socket.removeprefix("unix://"))
    return connection


# -------------------------------------------------------------------------------- stopping


def test_sigterm_ends_open_streams_and_half_sent_requests_in_bounded_time(host: Host) -> None:
    host.create_hello()
    container = host.ctl("container", "ls", "-q").stdout.split()[0]
    with (
        following(host, "events"),
        following(host, "container", "logs", "-f", container),
        following(host, "service", "logs", "-f", "hello"),
        raw_connection(host) as idle,
        raw_connection(host) as half,
    ):
        half.sendall(b"POST /swarm/init HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        time.sleep(0.5)
        began = time.monotonic()
        host.stop()
        assert time.monotonic() - began < STOP_SECONDS
        assert idle.recv(1) == b""
    assert not Path(host.socket.removeprefix("unix://")).exists()
    assert not (host.exec_root / "swarmd.pid").exists()
    host.start()
    assert host.ctl("container", "ls", "-q").stdout.split() == [container]


def test_sigterm_at_any_moment_of_the_start_leaves_nothing(bare_host: Host) -> None:
    bare_host.stop()
    for after in (0.1, 0.25, 0.35, 0.45, 0.55, 0.7):
        bare_host.launch()
        time.sleep(after)
        assert bare_host.process is not None
        bare_host.process.send_signal(signal.SIGTERM)
        assert bare_host.ended() in (0, -signal.SIGTERM), bare_host.tail()
        assert not bare_host.leftovers(), f"after {after} s: {bare_host.tail()}"


FAILING_STARTS = {
    "an address of another machine": ["-H", "unix:///proc/none/swarmd.sock"],
    "a data root below a file": ["--data-root", "/etc/hostname/data"],
    "a bridge that is somebody else's": ["--bridge", "eth0"],
}


@pytest.mark.parametrize("options", FAILING_STARTS.values(), ids=FAILING_STARTS.keys())
def test_a_start_that_fails_leaves_nothing_and_says_why(
    bare_host: Host, options: list[str]
) -> None:
    bare_host.stop()
    bare_host.options = options
    bare_host.launch()
    assert bare_host.ended() == 1
    assert 'level=critical logger=swarmd msg="swarmd cannot go on" reason=' in last_line(bare_host)
    assert "Traceback" not in bare_host.tail()
    assert not bare_host.leftovers()
    assert not (bare_host.exec_root / "swarmd.pid").exists()
    bare_host.options = []


def test_a_second_swarmd_in_the_same_place_is_refused(bare_host: Host) -> None:
    first, bare_host.process = bare_host.process, None
    bare_host.launch()
    assert bare_host.ended() == 1
    assert "swarmd runs already" in last_line(bare_host)
    bare_host.process = first
    assert bare_host.ctl("version").returncode == 0


def test_a_damaged_journal_is_told_and_nothing_is_overwritten(host: Host) -> None:
    host.create_hello()
    before = container_ids(host)
    host.stop()
    journal = host.data_root / "swarm/raft/log-0000000000000001"
    whole = journal.read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 3] ^= 0xFF
    journal.write_bytes(damaged)
    host.launch()
    assert host.ended() == 1
    assert "cannot go on" in last_line(host)
    assert journal.read_bytes() == damaged
    journal.write_bytes(whole)
    host.start()
    assert container_ids(host) == before


# ---------------------------------------------------------------------------------- failing

FAIL = """
async def fail(*_):
    import asyncio
    await asyncio.sleep(1)
    raise ValueError("broken part")
patched.{name} = fail
"""
FAILING_PARTS = {
    "a loop of the manager": ("manager.control.registry", "run_scheduler"),
    "the agent": ("worker.agent.agent", "PortTable.run"),
    "the engine": ("worker.containers.running", "Running._watch"),
}


@pytest.mark.parametrize("part", FAILING_PARTS.values(), ids=FAILING_PARTS.keys())
def test_a_part_that_fails_ends_the_whole_daemon_and_containers_go_on(
    host: Host, part: tuple[str, str]
) -> None:
    host.create_hello()
    before = container_ids(host)
    pids = {task["Status"]["ContainerStatus"]["PID"] for task in host.running("hello")}
    host.stop()
    patched(host, part[0], FAIL.format(name=part[1]))
    host.launch()
    assert host.ended() == 1
    assert "swarmd cannot go on" in last_line(host)
    assert "broken part" in last_line(host)
    assert "Traceback" in host.log.read_text(), "where it happened is told"
    assert all(Path(f"/proc/{pid}").exists() for pid in pids)
    unpatched(host)
    host.start()
    assert container_ids(host) == before
    host.wait_running("hello")


# ------------------------------------------------------------------------ making and leaving


def test_of_two_inits_at_once_one_makes_the_swarm(bare_host: Host) -> None:
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "cli.swarmctl.main", "-H", bare_host.socket, "swarm", "init",
             "--advertise-addr", ADDRESS],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY,
        )
        for _ in range(2)
    ]  # fmt: skip
    said = [process.communicate(timeout=30) for process in both]
    assert sorted(process.returncode for process in both) == [0, 1], said
    assert "already part of a swarm" in "".join(err for _, err in said)
    assert len(bare_host.ctl("node", "ls", "-q").stdout.split()) == 1


def test_an_init_whose_asker_leaves_is_whole_all_the_same(bare_host: Host) -> None:
    body = json.dumps({"ListenAddr": "0.0.0.0:2377", "AdvertiseAddr": ADDRESS}).encode()
    for _ in range(5):
        with raw_connection(bare_host) as connection:
            connection.sendall(
                b"POST /swarm/init HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
            )
        wait_for(
            "the swarm",
            lambda: bare_host.api("GET", "/info")["Swarm"]["LocalNodeState"] == "active",
        )
        with raw_connection(bare_host) as connection:
            connection.sendall(b"POST /swarm/leave?force=1 HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for(
            "it to be left",
            lambda: (
                bare_host.api("GET", "/info")["Swarm"]["LocalNodeState"] == "inactive"
                and not (bare_host.data_root / "swarm/raft").exists()
            ),
        )
        assert not (bare_host.data_root / "swarm/node").exists()


def test_leaving_while_tasks_start_and_a_new_swarm_after(host: Host) -> None:
    host.ctl("service", "create", "-d", "--name", "many", "--replicas", "12", "hello:1")
    time.sleep(0.2)
    host.ctl("swarm", "leave", "--force")
    assert host.ctl("container", "ls", "-aq").stdout == ""
    host.init()
    assert host.ctl("service", "ls", "-q").stdout == ""
    host.create_hello()


@pytest.mark.parametrize("what", ["init", "leave"])
def test_kill_in_the_midst_of_making_or_leaving_ends_in_one_state_or_the_other(
    host: Host, what: str
) -> None:
    for after in (0.05, 0.1, 0.13, 0.16, 0.2):
        if what == "leave":
            host.create_hello("--replicas", "2")
            arguments = ["swarm", "leave", "--force"]
        else:
            host.ctl("swarm", "leave", "--force")
            arguments = ["swarm", "init", "--advertise-addr", ADDRESS]
        with following(host, *arguments):
            time.sleep(after)
            host.stop(signal.SIGKILL)
        host.start()
        if host.ctl("info", "--format", "{{.Swarm.LocalNodeState}}").stdout.strip() == "active":
            host.ctl("node", "ls")
            host.ctl("swarm", "leave", "--force")
        assert host.ctl("container", "ls", "-aq").stdout == ""
        assert not (host.data_root / "swarm/raft").exists()
        host.init()


# ---------------------------------------------------------------------------------- settings


def test_sighup_reloads_level_and_labels_and_warns_of_the_rest(host: Host) -> None:
    host.stop()
    settings = host.directory / "swarmd.yaml"
    settings.write_text("label: [disk=ssd]\n")
    host.options = ["--config-file", str(settings), "--log-level", "info"]
    host.start()
    engine_id = host.api("GET", "/info")["ID"]
    assert host.api("GET", "/info")["Labels"] == ["disk=ssd"]
    settings.write_text("label: [disk=nvme, rack=7]\nbridge: other0\n")
    assert host.process is not None
    host.process.send_signal(signal.SIGHUP)
    wait_for("the reload", lambda: "settings reloaded" in host.log.read_text())
    assert host.api("GET", "/info")["Labels"] == ["disk=nvme", "rack=7"]
    assert "takes effect after a restart" in host.log.read_text()
    assert "setting=bridge" in host.log.read_text()
    settings.write_text("no: such\n")
    host.process.send_signal(signal.SIGHUP)
    wait_for("the refusal", lambda: "were not reloaded" in host.log.read_text())
    node = host.ctl("node", "ls", "-q").stdout.strip()
    wait_for(
        "the managers to learn of the labels",
        lambda: (
            host.api("GET", f"/nodes/{node}")["Description"]["Engine"].get("Labels")
            == {"disk": "nvme", "rack": "7"}
        ),
    )
    settings.write_text("")
    host.stop()
    host.start()
    assert host.api("GET", "/info")["ID"] == engine_id, "an engine keeps its id"


# -------------------------------------------------------------------------------- full disks


@pytest.fixture
def small_disk() -> Iterator[Host]:
    """A host whose data root is a file system of 24 MB."""
    host = make_host()
    host.stop()
    shutil.rmtree(host.data_root)
    host.data_root.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=24m", "swarmd-test", host.data_root)
    try:
        host.start()
        yield host
        if host.ctl("info", "--format", "{{.Swarm.LocalNodeState}}").stdout.strip() == "active":
            host.ctl("swarm", "leave", "--force")
        host.stop()
        run("umount", host.data_root)
        host.remove()
    finally:
        host.erase()


def fill(host: Host) -> Path:
    path = host.data_root / "filler"
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return path


def test_a_full_disk_is_told_and_nothing_untrue_is_acknowledged(small_disk: Host) -> None:
    host = small_disk
    filler = fill(host)
    refused = host.ctl("swarm", "init", "--advertise-addr", ADDRESS, check=False)
    assert refused.returncode == 1
    assert "No space left" in refused.stderr
    assert host.api("GET", "/info")["Swarm"]["LocalNodeState"] == "inactive"
    filler.unlink()
    host.init()
    host.import_hello("1")
    filler = fill(host)
    with pytest.raises(AssertionError, match=r"(?i)no space"):
        host.import_hello("2")
    assert host.ctl("image", "ls", "--format", "{{.Tag}}").stdout.split() == ["1"]
    acknowledged = []
    for number in range(30):
        done = host.ctl(
            "service", "create", "-d", "--name", f"s{number:02}", "hello:1", check=False
        )
        if done.returncode:
            break
        acknowledged.append(f"s{number:02}")
    filler.unlink()
    assert host.process is not None
    if host.process.poll() is not None:
        assert "No space left" in host.tail()
        host.process = None
        host.start()
    there = set(host.ctl("service", "ls", "--format", "{{.Name}}").stdout.split())
    assert set(acknowledged) <= there
    for name in there:
        host.wait_running(name)


# ------------------------------------------------------------------------------------ reboot


def test_after_a_reboot_every_task_is_replaced(host: Host) -> None:
    host.create_hello("--replicas", "2")
    before = container_ids(host)
    host.stop(signal.SIGKILL)
    pids = [int(path.read_text()) for path in host.exec_root.glob("supervisor.pid")]
    for pid, _ in list(host.processes()):
        pids.append(pid)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_for("the supervisor to end", lambda: not list(host.processes()))
    for group in host.cgroups():
        for procs in group.rglob("cgroup.procs"):
            for line in procs.read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(line), signal.SIGKILL)
    for line in reversed(Path("/proc/mounts").read_text().splitlines()):
        if line.split()[1].startswith(str(host.directory)):
            run("umount", "-l", line.split()[1], check=False)
    shutil.rmtree(host.exec_root)
    run("ip", "-n", host.name, "link", "del", "swarmd0", check=False)
    host.inside("nft", "delete", "table", "ip", "swarmd", check=False)
    host.start()
    wait_for("two fresh containers", lambda: len(container_ids(host) - before) == 2)
    host.wait_running("hello")
    assert "Hello" in host.page()


# ---------------------------------------------------------------------------- mutual TLS


@pytest.fixture
def tls_host() -> Iterator[tuple[Host, Path]]:
    """A host that listens on TCP, too, and the directory of its certificates."""
    host = make_host()
    try:
        ours, theirs = Authority("ours"), Authority("theirs")
        (host.directory / "certs").mkdir()
        for name, authority in (("ours", ours), ("theirs", theirs)):
            authority.write_client(host.directory / "certs" / name, trusts=ours)
        ours.write_server(host.directory / "certs" / "server", ADDRESS)
        certs = host.directory / "certs"
        host.stop()
        host.options = [
            "-H", host.socket, "-H", f"tcp://{ADDRESS}:2376", "--tlsverify",
            "--tlscacert", str(certs / "server/ca.pem"), "--tlscert", str(certs / "server/cert.pem"),
            "--tlskey", str(certs / "server/key.pem"),
        ]  # fmt: skip
        host.start()
        yield host, certs
        host.remove()
    finally:
        host.erase()


def over_tls(host: Host, certs: Path | None, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "DOCKER_HOST": f"tcp://{ADDRESS}:2376"}
    if certs is not None:
        environment |= {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(certs)}
    return run(*inside(host.client), *command, check=False, cwd=REPOSITORY, env=environment)


def test_tcp_takes_only_clients_of_its_authority(tls_host: tuple[Host, Path]) -> None:
    host, certs = tls_host
    swarmctl = (sys.executable, "-m", "cli.swarmctl.main", "version")
    clients: list[tuple[str, ...]] = [swarmctl]
    if shutil.which("docker"):
        clients.append(("docker", "version"))
    for client in clients:
        assert "1.50" in over_tls(host, certs / "ours", *client).stdout
        assert over_tls(host, certs / "theirs", *client).returncode != 0
        assert over_tls(host, None, *client).returncode != 0
    for wrong in (certs / "theirs", None):
        refused = over_tls(host, wrong, *swarmctl)
        assert refused.returncode == 1
        assert "Traceback" not in refused.stderr
    curl = ("curl", "-sS", "-m", "5", "--cacert", str(certs / "ours/ca.pem"))
    identity = ("--cert", str(certs / "ours/cert.pem"), "--key", str(certs / "ours/key.pem"))
    url = f"https://{ADDRESS}:2376/_ping"
    assert over_tls(host, None, *curl, *identity, url).stdout == "OK"
    assert over_tls(host, None, *curl, url).returncode != 0, "no certificate"
    old = over_tls(host, None, *curl, *identity, "--tls-max", "1.1", "--ciphers", "ALL:@SECLEVEL=0", url)  # fmt: skip
    assert old.returncode != 0, "TLS 1.1"
    plain = over_tls(host, None, "curl", "-sS", "-m", "5", f"http://{ADDRESS}:2376/_ping")
    assert plain.returncode != 0
    assert plain.stdout == ""
    streams_end_apart_over_tls(host, certs / "ours")


def streams_end_apart_over_tls(host: Host, certs: Path) -> None:
    """What a container says after the end of its input arrives, though TLS has no half-closed connections."""
    host.import_hello("1")
    environment = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(certs)}
    words = (
        "run",
        "-i",
        "--rm",
        "hello:1",
        "/bin/busybox",
        "sh",
        "-c",
        "sort; sleep 0.2; echo end",
    )
    done = run(
        *inside(host.client), sys.executable, "-m", "cli.swarmctl.main", *words,
        cwd=REPOSITORY, input="b\na\n" * 50_000,
        env={"PATH": os.environ["PATH"], "DOCKER_HOST": f"tcp://{ADDRESS}:2376"} | environment,
    )  # fmt: skip
    assert done.stdout == "a\n" * 50_000 + "b\n" * 50_000 + "end\n"


# ---------------------------------------------------------------------------------- security


def test_others_on_the_host_can_read_nothing_and_logs_tell_no_environment(host: Host) -> None:
    host.stop()
    host.options = ["--log-level", "info"]
    host.start()
    host.create_hello("--env", "PASSWORD=hunter2")
    for root in (host.data_root, host.exec_root):
        for path in sorted(root.rglob("*")):
            if path.is_socket():
                assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0, path
    for name in (
        "", "agent", "containers", "images", "network", "swarm", "swarm/raft/key", "swarm/node",
        "agent/assignments",
    ):  # fmt: skip
        mode = stat.S_IMODE((host.data_root / name).stat().st_mode)
        assert mode & 0o007 == 0, f"{name or 'the data root'}: {mode:o}"
    for name in ("netns", "running", "exits"):
        mode = stat.S_IMODE((host.exec_root / name).stat().st_mode)
        assert mode & 0o077 == 0, f"{name}: {mode:o}"
    for log in host.data_root.glob("containers/*/*-json.log"):
        assert stat.S_IMODE(log.stat().st_mode) == 0o640
    assert "hunter2" not in host.log.read_text()
    assert "hunter2" not in (host.exec_root / "supervisor.log").read_text()


def test_a_client_that_says_nothing_or_too_much_is_cut_off(bare_host: Host) -> None:
    bare_host.stop()
    patched(
        bare_host,
        "cli.swarmd.listeners",
        "patched.KEEPALIVE_SECONDS = 1.0\npatched.CONNECTIONS_MAX = 20",
    )
    bare_host.start()
    with raw_connection(bare_host) as silent, raw_connection(bare_host) as slow:
        slow.sendall(b"GET /version HTTP/1.1\r\nHost:")
        assert silent.recv(1) == b""
        assert slow.recv(1) == b""
    with raw_connection(bare_host) as large:
        with contextlib.suppress(ConnectionError):
            large.sendall(b"GET /_ping HTTP/1.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n")
        assert b" 400 " in large.recv(100)
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(raw_connection(bare_host)) for _ in range(20)]
        for stream in streams:
            stream.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
            assert stream.recv(12) == b"HTTP/1.1 200"
        with raw_connection(bare_host) as surplus, contextlib.suppress(ConnectionError):
            surplus.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
            assert surplus.recv(1) == b""
    wait_for("room again", lambda: bare_host.ctl("version", check=False).returncode == 0)
    unpatched(bare_host)


# ---------------------------------------------------------------------------------- idleness


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resources(host: Host) -> dict[str, int]:
    assert host.process is not None
    pid = host.process.pid
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return {
        "files": len(list(Path(f"/proc/{pid}/fd").iterdir())),
        "threads": int(status["Threads"]),
        "kilobytes": int(status["VmRSS"].split()[0]),
        "namespaces": len(list((host.exec_root / "netns").iterdir())),
        "cgroups": sum(1 for group in host.cgroups() for _ in group.rglob("cgroup.procs")),
        "containers": len(list((host.data_root / "containers").iterdir())),
        "mounts": Path("/proc/mounts").read_text().count(str(host.directory)),
    }


def test_an_idle_swarmd_idles(host: Host) -> None:
    host.create_hello("--replicas", "3", "--health-interval", "1h", "--health-cmd", "true")
    time.sleep(6)  # statuses settle
    assert host.process is not None
    before = _cpu_seconds(host.process.pid)
    time.sleep(8)
    assert (_cpu_seconds(host.process.pid) - before) / 8 < 0.01


def test_services_that_come_and_go_leave_nothing(host: Host) -> None:
    def cycle(number: int) -> None:
        name = f"s{number}"
        body = {
            "Name": name,
            "TaskTemplate": {"ContainerSpec": {"Image": "hello:1"}},
            "Mode": {"Replicated": {"Replicas": 1}},
        }
        kind = "Content-Type: application/json"
        host.api("POST", "/services/create", "-H", kind, "-d", json.dumps(body))
        wait_for(f"{name} to run", lambda: host.running(name))
        host.api("DELETE", f"/services/{name}")

    def settled() -> bool:
        return not host.api("GET", "/containers/json?all=1")

    for number in range(20):
        cycle(number)
    wait_for("containers to go", settled)
    before = _resources(host)
    for number in range(20, 80):
        cycle(number)
    wait_for("containers to go", settled)
    wait_for("namespaces to go", lambda: _resources(host)["namespaces"] <= before["namespaces"])
    after = _resources(host)
    assert after["kilobytes"] - before["kilobytes"] < 6000, (before, after)
    for name in ("files", "threads", "cgroups", "containers", "mounts"):
        assert after[name] <= before[name] + 2, (name, before, after)
