"""The docker CLI with containers that an OCI runtime makes: terminals, further processes, stop, codes, logs."""

import json
import shutil

import pytest

from integration.host import Host, wait_for
from integration.test_docker_run import PROMPT, ask, at_terminal, interrupts

pytestmark = [
    pytest.mark.skipif(shutil.which("docker") is None, reason="the docker CLI is not here"),
    pytest.mark.skipif(shutil.which("crun") is None, reason="crun is not here"),
]
CRUN = ("--runtime", "crun")
TRAPS = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done"


def test_shells_at_terminals(node: Host) -> None:
    with at_terminal(
        node, "run", "-it", "--rm", "--name", "shell", *CRUN, "hello:1", "sh"
    ) as shell:
        shell.sees(PROMPT)
        shell.resize(40, 120)
        wait_for("its size", lambda: b"40 120" in ask(shell, b"stty size"))
        with at_terminal(node, "exec", "-it", "-e", "A=b", "shell", "sh") as further:
            further.sees(PROMPT)
            assert b"is b" in ask(further, b"echo is $A")
            further.type(b"exit 4\n")
            assert further.ended() == 4
        shell.sees(PROMPT)
        shell.type(b"sleep 1000\n")
        shell.sees(b"sleep 1000\r\n")
        wait_for("the keys to interrupt it", lambda: interrupts(shell))
        shell.type(b"exit 5\n")
        assert shell.ended() == 5
    wait_for("it to be gone", lambda: not node.docker("ps", "-aq").stdout)


def test_codes_of_those_that_do_and_do_not_run(node: Host) -> None:
    script = "echo out; echo err >&2; exit 7"
    done = node.docker("run", "--rm", *CRUN, "hello:1", "sh", "-c", script, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 7)
    missing = node.docker("run", "--rm", *CRUN, "hello:1", "nope", check=False)
    assert missing.returncode == 127
    assert 'exec: "nope": executable file not found in $PATH' in missing.stderr
    assert (
        node.docker("run", "--rm", *CRUN, "hello:1", "/etc/passwd", check=False).returncode == 126
    )


def test_a_life_from_run_to_rm(node: Host) -> None:
    node.docker("run", "-d", "--name", "life", *CRUN, "hello:1", "sh", "-c", TRAPS)
    wait_for("it to be up", lambda: node.docker("logs", "life").stdout == "up\n")
    assert node.docker("inspect", "-f", "{{.HostConfig.Runtime}}", "life").stdout == "crun\n"
    assert node.docker("exec", "life", "sh", "-c", "exit 9", check=False).returncode == 9
    absent = node.docker("exec", "life", "nope", check=False)
    assert absent.returncode == 127
    node.docker("stop", "-t", "20", "life")
    state = json.loads(node.docker("inspect", "-f", "{{json .State}}", "life").stdout)
    assert (state["Status"], state["ExitCode"]) == ("exited", 3)
    assert node.docker("logs", "life").stdout == "up\nbye\n"
    node.docker("start", "life")
    node.docker("kill", "life")
    wait_for("it to be killed", lambda: node.docker("wait", "life").stdout == "137\n")
    node.docker("rm", "life")
