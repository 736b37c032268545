"""What of swarmctl only shows for real: terminals, interrupts, closed pipes, a swarmd that restarts, exit codes."""

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.host import REPOSITORY, Host, wait_for

CPU_SECONDS_MAX = 0.080
"""Of ``swarmctl version`` (median), on a quiet machine."""
NEVER_HEALTHY = ("--health-cmd", "false", "--health-interval", "1s", "--health-retries", "100")


@pytest.fixture
def web(shared_host: Host) -> Iterator[Host]:
    """A swarm with the service web of two replicas, which is gone after the test."""
    shared_host.ctl("service", "create", "--detach", "--name", "web", "--replicas", "2", "hello:1")
    shared_host.wait_running("web")
    yield shared_host
    for name in shared_host.ctl("service", "ls", "--format", "{{.Name}}").stdout.split():
        shared_host.ctl("service", "rm", name)


def command(host: Host, *words: str) -> list[str]:
    return [sys.executable, "-m", "cli.swarmctl.main", "-H", host.socket, *words]


def test_a_bad_image_is_told_soon_and_fails(shared_host: Host) -> None:
    began = time.monotonic()
    done = shared_host.ctl("service", "create", "--name", "bad", "nowhere:1", check=False)
    shared_host.ctl("service", "rm", "bad")
    assert done.returncode == 1
    assert "Error: No such image: nowhere:1 (" in done.stderr
    assert "could not be accessed on a registry" in done.stderr
    assert time.monotonic() - began < 10


def test_a_program_that_ends_badly_fails(shared_host: Host) -> None:
    words = ("--name", "bad", "--restart-condition", "none", "hello:1", "/bin/busybox", "false")
    done = shared_host.ctl("service", "create", *words, check=False)
    shared_host.ctl("service", "rm", "bad")
    assert (done.returncode, done.stderr) == (1, "Error: task: non-zero exit (1) (1 attempt)\n")


def test_a_rolled_back_and_a_paused_update_fail_with_the_reason(web: Host) -> None:
    for action, says in (
        ("rollback", "service rolled back: "),
        ("pause", "service update paused: "),
    ):
        words = ("--image", "nowhere:1", "--update-failure-action", action, "web")
        done = web.ctl("service", "update", *words, check=False)
        assert done.returncode == 1, action
        assert says in done.stderr
        assert "No such image: nowhere:1" in done.stderr
    assert web.ctl("service", "rollback", "web").stdout.endswith("verify: Service web converged\n")


def test_global_services_and_scaling_to_nothing_converge(web: Host) -> None:
    done = web.ctl("service", "create", "--mode", "global", "--name", "each", "hello:1")
    assert "overall progress: 1 out of 1 tasks" in done.stdout
    assert "overall progress: 0 out of 0 tasks" in web.ctl("service", "scale", "web=0").stdout
    wait_for("all tasks of web to end", lambda: not web.running("web"))


def test_fifty_replicas_converge(web: Host) -> None:
    done = web.ctl("service", "scale", "web=50")
    assert "overall progress: 50 out of 50 tasks" in done.stdout


@pytest.mark.parametrize("detached", ["--detach", "--detach=true", "-d=true"])
def test_detached_returns_at_once(web: Host, detached: str) -> None:
    done = web.ctl("service", "create", detached, "--name", "later", *NEVER_HEALTHY, "hello:1")
    assert "overall progress" not in done.stdout


def test_an_interrupt_leaves_the_operation_going(web: Host) -> None:
    words = command(web, "service", "create", "--name", "slow", *NEVER_HEALTHY, "hello:1")
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY
    ) as waiting:
        assert waiting.stdout is not None
        wait_for("progress", lambda: "overall progress" in (waiting.stdout or sys.stdin).readline())
        waiting.send_signal(signal.SIGINT)
        _, err = waiting.communicate(timeout=10)
    assert waiting.returncode == 130
    assert "Operation continuing in background." in err
    assert web.tasks("slow")


def test_a_terminal_shows_a_bar_and_each_task(web: Host) -> None:
    screen, code = on_a_terminal(command(web, "service", "update", "--force", "web"))
    assert code == 0
    assert "1/2: running" in screen
    assert "2 out of 2 tasks [====" in screen
    assert "verify: Service web converged" in screen
    assert screen.rindex("\x1b[?25h") > screen.rindex("\x1b[?25l"), "the cursor stays hidden"


def on_a_terminal(words: list[str]) -> tuple[str, int]:
    """What a program writes to a terminal of its own, and how it ends."""
    ours, its = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    with subprocess.Popen(
        words, stdin=its, stdout=its, stderr=its, cwd=REPOSITORY, env=environment
    ) as program:
        os.close(its)
        seen = b""
        try:
            while data := os.read(ours, 65536):
                seen += data
        except OSError:
            pass  # the program has ended: the terminal has no other side any more
        finally:
            os.close(ours)
        code = program.wait(timeout=10)
    return seen.decode(errors="replace"), code


def test_a_restart_of_swarmd_does_not_end_the_wait(host: Host) -> None:
    health = ("--health-cmd", "sleep 4", "--health-interval", "200ms", "--health-timeout", "20s")
    words = command(host, "service", "create", "--name", "slow", *health, "hello:1")
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=REPOSITORY
    ) as waiting:
        wait_for("a task", lambda: host.ctl("service", "ls", "-q").stdout and host.tasks("slow"))
        host.stop()
        host.start()
        out, _ = waiting.communicate(timeout=60)
    assert (waiting.returncode, out.splitlines()[-1].split()[-1]) == (0, "converged"), out


@pytest.mark.parametrize(
    "words",
    [
        ("service", "inspect", "web"),
        ("events", "--since", "1h"),
        ("service", "logs", "--follow", "talk"),
    ],
    ids=lambda words: words[1] if isinstance(words, tuple) else "",
)
def test_a_reader_that_goes_away_ends_it_quietly(web: Host, words: tuple[str, ...]) -> None:
    talk = "while true; do echo line; sleep 0.1; done"
    shell = ("/bin/busybox", "sh", "-c", talk)
    web.ctl("service", "create", "-d", "--no-healthcheck", "--name", "talk", "hello:1", *shell)
    web.wait_running("talk")
    with subprocess.Popen(
        command(web, *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=REPOSITORY
    ) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        assert program.stdout.readline()
        program.stdout.close()
        web.ctl("service", "update", "-d", "--label-add", "a=b", "web")  # an event to write
        program.wait(timeout=20)
        assert program.stderr.read() == b""


def test_lists_are_as_those_of_docker(web: Host) -> None:
    for words in (
        ("service", "ls"), ("service", "ls", "-q"), ("service", "ls", "--format", "{{json .}}"),
        ("service", "ps", "--no-trunc", "--format", "{{.ID}} {{.Name}} {{.Image}} {{.Node}} {{.Ports}}", "web"),
        ("service", "ps", "-q", "web"),
        ("node", "ls"), ("node", "ls", "--format", "{{.ID}} {{.Self}} {{.TLSStatus}}"),
        ("node", "ps", "--format", "{{.Name}}"),
        ("image", "ls", "--format", "{{.Repository}}:{{.Tag}} {{.ID}} {{.Size}} {{.CreatedAt}}"),
        ("container", "ls", "--format", "{{.ID}} {{.Names}} {{.Command}} {{.CreatedAt}} {{.Networks}}"),
        ("service", "inspect", "web", "--format", "{{.Spec.Name}} {{json .Spec.Mode}}"),
    ):  # fmt: skip
        ours, its = web.ctl(*words).stdout, web.docker(*words).stdout
        assert lines_of(ours) == lines_of(its), words


def lines_of(text: str) -> list[str]:
    """Its lines, without what docker pads empty cells with, and without how Go writes > in JSON."""
    return [line.rstrip().replace("\\u003e", ">") for line in text.splitlines()]


def test_version_takes_little_time(shared_host: Host) -> None:
    words = command(shared_host, "version")
    took = sorted(cpu_seconds(words) for _ in range(11))
    assert took[5] <= CPU_SECONDS_MAX * 2, f"median {took[5]} s"  # the machine is not ours alone


def cpu_seconds(words: list[str]) -> float:
    before = os.times()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, cwd=REPOSITORY)
    after = os.times()
    return (
        after.children_user + after.children_system - before.children_user - before.children_system
    )


def test_an_archive_that_is_refused_midway_says_why(shared_host: Host, tmp_path: Path) -> None:
    archive = tmp_path / "not.tar"
    archive.write_bytes(b"no tar at all " * 1_000_000)
    done = shared_host.ctl("image", "load", "-i", str(archive), check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error")
    assert "Traceback" not in done.stderr
