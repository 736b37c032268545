"""docker run, exec, attach and their like by the real docker CLI, at a terminal too, and by the docker SDK."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from integration.certificates import Authority
from integration.conftest import make_host
from integration.host import ADDRESS, Host, wait_for
from integration.links import inside, run
from integration.typist import Typist

needs_docker = pytest.mark.skipif(
    shutil.which("docker") is None, reason="the docker CLI is not installed here"
)
PROMPT = b"# "
TICKING = "while :; do echo tick; sleep 0.1; done"


def at_terminal(host: Host, *arguments: str, size: tuple[int, int] = (24, 80)) -> Typist:
    environment = {"DOCKER_HOST": host.socket, "PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    return Typist(["docker", *arguments], size=size, env={"TERM": "xterm", **environment})


def ask(shell: Typist, line: bytes) -> bytes:
    """Types a line, and gives what it brings."""
    shell.type(line + b"; echo d'on'e\n")
    return shell.sees(b"done\r\n")


def interrupts(shell: Typist) -> bool:
    """Presses ctrl-c; it comes to nothing while the shell is just beginning what it is to interrupt."""
    shell.type(b"\x03")
    return shell.sees_within(1.0, PROMPT)


# ------------------------------------------------------------------------------------- at a terminal


@needs_docker
def test_run_it_is_a_shell_at_a_terminal(node: Host) -> None:
    arguments = ("run", "-it", "--rm", "--name", "shell", "hello:1", "sh")
    with at_terminal(node, *arguments, size=(30, 100)) as shell:
        shell.sees(PROMPT)
        wait_for("its size", lambda: b"30 100" in ask(shell, b"stty size"))
        assert b"/dev/pts/0" in ask(shell, b"tty")
        shell.resize(40, 120)
        wait_for("its new size", lambda: b"40 120" in ask(shell, b"stty size"))
        shell.sees(PROMPT)
        shell.type(b"sleep 1000\n")
        shell.sees(b"sleep 1000\r\n")
        wait_for("the keys to interrupt it", lambda: interrupts(shell))
        shell.type(b"exit 5\n")
        assert shell.ended() == 5
    wait_for("it to be gone", lambda: not node.docker("ps", "-aq").stdout)


@needs_docker
def test_exec_it_beside_it_and_the_keys_that_let_go(node: Host) -> None:
    arguments = ("run", "-it", "--name", "left", "--detach-keys", "ctrl-a,x", "hello:1", "sh")
    with at_terminal(node, *arguments) as shell:
        shell.sees(PROMPT)
        with at_terminal(node, "exec", "-it", "-e", "A=b", "left", "sh") as further:
            further.sees(PROMPT)
            assert b"b" in ask(further, b"echo $A")
            assert b"/dev/pts/1" in ask(further, b"tty")
            further.type(b"exit 4\n")
            assert further.ended() == 4
        shell.type(b"\x01x")
        assert shell.ended() == 0
    assert "left" in node.docker("ps").stdout
    with at_terminal(node, "attach", "left") as shell:
        assert b"again" in ask(shell, b"echo again")
        shell.type(b"exit 6\n")
        assert shell.ended() == 6
    assert "again" in node.docker("logs", "left").stdout
    assert node.docker("rm", "left").stdout == "left\n"


# --------------------------------------------------------------------------------------- by pipes


@needs_docker
def test_who_pauses_loses_nothing_of_a_process_that_has_ended(node: Host) -> None:
    """As whoever pages through its output does: the last of it is still in its pipe then."""
    node.docker("run", "-d", "--name", "paged", "hello:1", "sleep", "1000")
    command = "docker exec paged head -c 300000 /dev/zero | (sleep 3; wc -c)"
    environment = {"DOCKER_HOST": node.socket, "PATH": os.environ["PATH"]}
    assert run("sh", "-c", command, env=environment).stdout.strip() == "300000"
    node.docker("rm", "-f", "paged")


@needs_docker
def test_input_and_output_arrive_whole(node: Host) -> None:
    data = os.urandom(3_000_000)
    for command in (
        ("run", "-i", "--rm", "hello:1", "cat"),
        ("run", "-i", "--rm", "-a", "stdin", "-a", "stdout", "hello:1", "cat"),
    ):
        done = subprocess.run(
            ["docker", *command],
            input=data,
            capture_output=True,
            check=True,
            timeout=60,
            env={"DOCKER_HOST": node.socket, "PATH": os.environ["PATH"]},
        )
        assert done.stdout == data
    node.docker("run", "-d", "--name", "echo", "hello:1", "sleep", "1000")
    done = subprocess.run(
        ["docker", "exec", "-i", "echo", "cat"],
        input=data,
        capture_output=True,
        check=True,
        timeout=60,
        env={"DOCKER_HOST": node.socket, "PATH": os.environ["PATH"]},
    )
    assert done.stdout == data
    node.docker("rm", "-f", "echo")


@needs_docker
def test_codes_and_streams(node: Host) -> None:
    done = node.docker(
        "run", "--rm", "hello:1", "sh", "-c", "echo out; echo err >&2; exit 7", check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 7)
    missing = node.docker("run", "--rm", "hello:1", "nope", check=False)
    assert missing.returncode == 127
    assert 'exec: "nope": executable file not found in $PATH' in missing.stderr
    assert node.docker("run", "--rm", "hello:1", "/etc/passwd", check=False).returncode == 126
    absent = node.docker("run", "--network", "container:no", "hello:1", check=False)
    assert (absent.returncode, "No such container: no" in absent.stderr) == (125, True)
    refused = node.docker("run", "--cgroup-parent", "/x", "hello:1", check=False)
    assert "HostConfig.CgroupParent is not available" in refused.stderr
    wait_for("them to be gone", lambda: not node.docker("ps", "-aq").stdout)


@needs_docker
def test_the_life_of_a_container(node: Host) -> None:
    made = node.docker(
        "run", "-d", "--name", "one", "-p", "8088:80", "-l", "a=b", "hello:1"
    ).stdout.strip()
    wait_for("its page", lambda: "version 1" in node.page(8088, check=False))
    assert node.docker("port", "one").stdout == "80/tcp -> 0.0.0.0:8088\n"
    assert "0.0.0.0:8088->80/tcp" in node.docker("ps").stdout
    assert "virtual" in node.docker("ps", "-s", "--filter", "label=a").stdout
    assert "COMMAND" in node.docker("top", "one", "aux").stdout
    assert node.docker("pause", "one").stdout == "one\n"
    assert "(Paused)" in node.docker("ps").stdout
    assert "is paused" in node.docker("exec", "one", "true", check=False).stderr
    node.docker("unpause", "one")
    node.docker("rename", "one", "two")
    node.docker("update", "--memory", "64m", "--memory-swap", "64m", "--cpus", "0.5", "two")
    line = node.docker("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", "two").stdout
    assert line.startswith("two ")
    assert line.strip().endswith("/ 64MiB")
    node.docker("restart", "-t", "0", "two")
    assert "Up" in node.docker("ps", "--filter", "name=two").stdout
    assert node.docker("stop", "-t", "0", "two").stdout == "two\n"
    assert node.docker("wait", "two").stdout == "137\n"
    assert node.docker("rm", "two").stdout == "two\n"

    def told() -> list[str]:  # until whole seconds only
        lines = node.docker(
            "events", "--since", "60s", "--until", "0s", "--filter", f"container={made}", "--format",
            "{{.Action}}",
        )  # fmt: skip
        return lines.stdout.split("\n")

    wait_for("all to be told", lambda: "destroy" in told())
    heard = told()
    wanted = ["create", "start", "pause", "unpause", "rename", "update", "kill", "die", "stop"]
    assert [action for action in wanted if action not in heard] == [], heard


@needs_docker
def test_what_exec_runs(node: Host) -> None:
    node.docker("run", "-d", "--name", "host", "hello:1", "sleep", "1000")
    done = node.docker(
        "exec", "-u", "1:2", "-w", "/tmp", "-e", "A=b", "host", "sh", "-c",
        "id -u; id -g; pwd; echo $A; exit 3", check=False,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("1\n2\n/tmp\nb\n", 3)
    missing = node.docker("exec", "host", "nope", check=False)
    assert (missing.returncode, "nope" in missing.stderr) == (127, True)
    node.docker("exec", "-d", "host", "touch", "/tmp/made")
    wait_for(
        "a detached one", lambda: not node.docker("exec", "host", "ls", "/tmp/made").returncode
    )
    begun = node.docker("exec", "host", "sh", "-c", "sleep 1000 & echo begun")
    assert begun.stdout == "begun\n"
    node.docker("rm", "-f", "host")
    gone = node.docker("exec", "host", "true", check=False)
    assert "No such container: host" in gone.stderr


@needs_docker
def test_following_a_container(node: Host) -> None:
    node.docker("run", "-d", "--name", "ticks", "hello:1", "sh", "-c", TICKING)
    with (
        at_terminal(node, "logs", "-f", "--tail", "0", "ticks") as logs,
        at_terminal(node, "stats", "ticks") as stats,
        at_terminal(node, "attach", "--no-stdin", "ticks") as attached,
    ):
        for shown in (logs, attached):
            shown.sees(b"tick\r\n")
        stats.sees(b"ticks")
        assert node.docker("kill", "ticks").returncode == 0
        assert logs.ended() == 0
        assert attached.ended() == 137
        stats.process.terminate()
    node.docker("rm", "-f", "ticks")


@needs_docker
def test_a_restart_policy_and_inspect_that_makes_the_same_again(node: Host) -> None:
    node.docker(
        "run", "-d", "--name", "again", "--restart", "on-failure:2", "-v", "data:/data", "--tmpfs", "/t:size=1m",
        "--cap-drop", "ALL", "--memory", "32m", "--entrypoint", "sh", "hello:1", "-c", "exit 1",
    )  # fmt: skip

    def look() -> dict[str, Any]:
        (found,) = json.loads(node.docker("inspect", "again").stdout)
        return dict(found)

    wait_for("its last try", lambda: look()["RestartCount"] == 2 and not look()["State"]["Running"])
    shown = look()
    assert (shown["Config"]["Entrypoint"], shown["Config"]["Cmd"]) == (["sh"], ["-c", "exit 1"])
    assert shown["HostConfig"]["Binds"] == ["data:/data"]
    body = json.dumps({**shown["Config"], "HostConfig": shown["HostConfig"]})
    made = node.api(
        "POST", "/containers/create?name=same", "-H", "Content-Type: application/json", "-d", body
    )
    assert made["Warnings"] == []
    same = json.loads(node.docker("inspect", "same").stdout)[0]
    assert same["HostConfig"] == shown["HostConfig"]
    for name in ("again", "same"):
        node.docker("rm", name)
    node.docker("volume", "rm", "data")


# -------------------------------------------------------------------------------------- over TLS


@needs_docker
def test_the_end_of_input_over_tls(tmp_path: Path) -> None:
    certs = Authority("run")
    certs.write_server(tmp_path / "server", ADDRESS)
    certs.write_client(tmp_path / "client", trusts=certs)
    made = make_host()
    try:
        made.import_hello("1")
        made.stop()
        made.options = [
            "-H", made.socket, "-H", f"tcp://{ADDRESS}:2376", "--tlsverify",
            "--tlscacert", str(tmp_path / "server/ca.pem"), "--tlscert", str(tmp_path / "server/cert.pem"),
            "--tlskey", str(tmp_path / "server/key.pem"),
        ]  # fmt: skip
        made.start()
        environment = {
            "PATH": os.environ["PATH"],
            "DOCKER_HOST": f"tcp://{ADDRESS}:2376",
            "DOCKER_TLS_VERIFY": "1",
            "DOCKER_CERT_PATH": str(tmp_path / "client"),
        }
        command = [*inside(made.client), "docker", "run", "-i", "--rm", "hello:1", "sh", "-c"]
        counted = run(
            *command, "wc -c; sleep 0.3; echo later", env=environment, input="x" * 100_000
        )
        assert counted.stdout == "100000\nlater\n"
    finally:
        made.remove()


# ------------------------------------------------------------------------------------------- SDK


@pytest.fixture
def sdk(node: Host) -> Iterator[docker.DockerClient]:
    client = docker.DockerClient(base_url=node.socket)
    yield client
    client.close()


def test_sdk_runs_containers(sdk: docker.DockerClient) -> None:
    assert sdk.containers.run("hello:1", ["echo", "hi"], remove=True) == b"hi\n"
    with pytest.raises(docker.errors.ContainerError):
        sdk.containers.run("hello:1", ["false"], remove=True)
    container = sdk.containers.run("hello:1", ["sleep", "1000"], detach=True, name="sdk-one")
    script = "echo out; echo err >&2; exit 2"
    code, output = container.exec_run(["sh", "-c", script], demux=True)
    out: Any = output
    assert (code, out) == (2, (b"out\n", b"err\n"))
    assert container.exec_run("echo tty", tty=True).output == b"tty\r\n"
    stats: Any = container.stats(stream=False)
    assert stats["cpu_stats"]["cpu_usage"]["total_usage"] > 0
    assert stats["networks"]["eth0"]["rx_packets"] >= 0
    assert container.top()["Titles"][0] == "UID"
    container.pause()
    container.reload()
    assert container.status == "paused"
    container.unpause()
    container.kill()
    assert container.wait() == {"StatusCode": 137}
    assert container in sdk.containers.list(all=True, filters={"status": "exited"})
    container.remove()
    with pytest.raises(docker.errors.NotFound):
        sdk.containers.get("sdk-one")


def test_sdk_attaches_by_a_socket(sdk: docker.DockerClient) -> None:
    create: Any = sdk.containers.create
    container = create("hello:1", "cat", stdin_open=True, tty=True, name="sdk-cat")
    attached: Any = container.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    container.start()
    raw = attached._sock
    raw.settimeout(10)
    raw.sendall(b"hello\n")
    seen = b""
    while b"hello\r\nhello\r\n" not in seen:
        seen += raw.recv(100)
    attached.close()
    raw.close()
    container.remove(force=True)


def test_many_at_once(node: Host) -> None:
    code = (
        "import docker, sys, concurrent.futures as f\n"
        "c = docker.DockerClient(base_url=sys.argv[1])\n"
        "run = lambda n: c.containers.run('hello:1', ['echo', str(n)], remove=True)\n"
        "print(sorted(int(x) for x in f.ThreadPoolExecutor(8).map(run, range(24))))\n"
    )
    done = run(sys.executable, "-c", code, node.socket)
    assert json.loads(done.stdout) == list(range(24))
