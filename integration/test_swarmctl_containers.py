"""swarmctl run, exec, attach, cp and their like, at a real terminal and on real containers."""

import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.lab.programs import environment
from integration.host import COMPILED, REPOSITORY, Host, wait_for
from integration.typist import AWAIT_SIZE, SHOW_SIZE, Typist

SHELL = ("hello:1", "/bin/busybox", "sh")


def command(host: Host, *words: str) -> list[str]:
    return [sys.executable, "-m", "cli.swarmctl.main", "-H", host.socket, *words]


def at_terminal(host: Host, *words: str) -> Typist:
    return Typist(command(host, *words), cwd=REPOSITORY, env={**environment(COMPILED), "PS1": "$ "})


@pytest.fixture
def sleeper(shared_host: Host) -> Iterator[str]:
    """A container that runs, and is gone after the test."""
    words = ("run", "-d", "--name", "sleeper", "hello:1", "/bin/busybox", "sleep", "1000")
    shared_host.ctl(*words)
    yield "sleeper"
    shared_host.ctl("rm", "-f", "sleeper")


def containers(host: Host) -> list[str]:
    return host.ctl("ps", "-aq").stdout.split()


def test_a_shell_at_a_terminal(shared_host: Host) -> None:
    with at_terminal(shared_host, "run", "-it", "--rm", "--name", "shell", *SHELL) as shell:
        shell.sees(b"# ")
        assert shell.is_raw()
        shell.type(SHOW_SIZE)
        shell.sees(b"<24 80>")
        shell.resize(50, 132)
        shell.type(AWAIT_SIZE % (50, 132))
        shell.sees(b"<that size>")
        shell.type(b"/bin/sh -c 'echo \"<go\"ing\\>; exec sleep 1000'\r")
        shell.sees(b"<going>\r\n")
        shell.type(b"\x03")  # ctrl-C ends what the shell runs, not us
        shell.sees(b"# ")
        shell.type(b"exit 42\r")
        assert shell.ended() == 42
    assert "shell" not in shared_host.ctl("ps", "-a").stdout


def test_exec_at_a_terminal(shared_host: Host, sleeper: str) -> None:
    with at_terminal(shared_host, "exec", "-it", sleeper, "/bin/busybox", "sh") as shell:
        shell.sees(b"# ")
        shell.type(SHOW_SIZE)
        shell.sees(b"<24 80>")
        shell.resize(30, 100)
        shell.type(AWAIT_SIZE % (30, 100))
        shell.sees(b"<that size>")
        shell.sees(b"# ")
        shell.type(b"\x04")  # ctrl-D
        assert shell.ended() == 0


def test_detaching_leaves_it_alone_and_attaching_comes_back(shared_host: Host) -> None:
    with at_terminal(shared_host, "run", "-it", "--name", "kept", *SHELL) as shell:
        shell.sees(b"# ")
        shell.type(b"\x10\x11")
        assert shell.ended() == 0
    with at_terminal(shared_host, "attach", "--detach-keys", "ctrl-x", "kept") as again:
        again.has_the_terminal()
        again.type(b"echo $((6*7))\r")
        again.sees(b"42\r\n")
        again.type(b"\x10\x11x\x7f\x7f\x7f")  # not the keys any more
        again.type(b"\x18")
        again.sees(b"read escape sequence")
        assert again.ended() == 1
    with at_terminal(shared_host, "attach", "kept") as again:
        again.has_the_terminal()
        again.type(b"\x03exit 5\r")
        assert again.ended() == 5
    shared_host.ctl("rm", "kept")


def test_a_signal_puts_the_terminal_in_order(shared_host: Host) -> None:
    with at_terminal(shared_host, "run", "-it", "--name", "left", *SHELL) as shell:
        shell.sees(b"# ")
        shell.process.send_signal(signal.SIGTERM)
        assert shell.ended() == 128 + signal.SIGTERM
    assert "left" in shared_host.ctl("ps").stdout
    shared_host.ctl("rm", "-f", "left")


def test_signals_without_a_terminal_go_to_the_container(shared_host: Host) -> None:
    script = "trap 'echo got it; exit 9' TERM; echo ready; while :; do sleep 0.1; done"
    process = subprocess.Popen(
        command(shared_host, "run", "--rm", *SHELL, "-c", script),
        cwd=REPOSITORY, stdout=subprocess.PIPE, env=environment(COMPILED),
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30)[0] == b"got it\n"
    assert process.returncode == 9


EXIT_CODES = {
    "its own": (("run", "--rm", *SHELL, "-c", "exit 3"), 3),
    "no such command": (("run", "--rm", "hello:1", "/nowhere"), 127),
    "no command at all": (("run", "--rm", "hello:1", "/etc"), 126),
    "no such image": (("run", "--rm", "nowhere:1"), 125),
    "swarmd refuses": (("run", "--rm", "--name", "!", "hello:1"), 125),
    "no such flag": (("run", "--nowhere", "hello:1"), 125),
}


@pytest.mark.parametrize(("words", "code"), EXIT_CODES.values(), ids=EXIT_CODES)
def test_exit_codes_of_run(shared_host: Host, words: tuple[str, ...], code: int) -> None:
    before = containers(shared_host)
    done = shared_host.ctl(*words, check=False)
    assert done.returncode == code, done.stderr
    wait_for("--rm", lambda: containers(shared_host) == before)


def test_an_image_that_is_not_here_is_told(shared_host: Host) -> None:
    done = shared_host.ctl("run", "nowhere", check=False)
    assert "Unable to find image 'nowhere:latest' locally, and swarmd does not pull" in done.stderr


def test_pipes_carry_everything_both_ways(shared_host: Host, sleeper: str) -> None:
    text = "x" * 79 + "\n"
    for words in (("run", "-i", "--rm", "hello:1"), ("exec", "-i", sleeper)):
        done = shared_host.ctl(*words, "/bin/busybox", "cat", text=text * 20_000)
        assert done.stdout == text * 20_000, words
    done = shared_host.ctl(
        "exec", sleeper, *SHELL[1:], "-c", "echo out; echo err >&2; exit 7", check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 7)


def test_copies_files_both_ways(shared_host: Host, sleeper: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "below").mkdir(parents=True)
    (tree / "below" / "file").write_bytes(os.urandom(300_000))
    (tree / "link").symlink_to("below/file")
    (tree / "below" / "file").chmod(0o640)
    shared_host.ctl("cp", str(tree), f"{sleeper}:/tmp")
    shared_host.ctl("cp", f"{tree}/.", f"{sleeper}:/tmp/other")
    shared_host.ctl("cp", str(tree / "below" / "file"), f"{sleeper}:/tmp/renamed")
    for source, target in (("/tmp/tree", "one"), ("/tmp/other", "two")):
        shared_host.ctl("cp", f"{sleeper}:{source}", str(tmp_path / target))
        got = tmp_path / target
        assert (got / "below" / "file").read_bytes() == (tree / "below" / "file").read_bytes()
        assert (got / "below" / "file").stat().st_mode & 0o7777 == 0o640
        assert (got / "link").readlink() == Path("below/file")
    shared_host.ctl("cp", f"{sleeper}:/tmp/renamed", str(tmp_path))
    assert (tmp_path / "renamed").stat().st_size == 300_000
    with (tmp_path / "all.tar").open("wb") as file:
        subprocess.run(
            command(shared_host, "cp", f"{sleeper}:/tmp/tree", "-"),
            cwd=REPOSITORY, stdout=file, check=True, env=environment(COMPILED),
        )  # fmt: skip
    with tarfile.open(tmp_path / "all.tar") as archive:
        assert "tree/below/file" in archive.getnames()
    done = shared_host.ctl("cp", f"{sleeper}:/nowhere", str(tmp_path), check=False)
    assert (done.returncode, "/nowhere" in done.stderr) == (1, True)


def test_what_containers_use(shared_host: Host, sleeper: str) -> None:
    shown = shared_host.ctl("stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}", sleeper)
    assert shown.stdout == "sleeper 1\n"
    assert "/bin/busybox sleep 1000" in shared_host.ctl("top", sleeper).stdout


def test_exec_finds_tasks_by_their_name(shared_host: Host) -> None:
    shared_host.ctl("service", "create", "--detach", "--name", "web", "hello:1")
    shared_host.wait_running("web")
    task = shared_host.running("web")[0]["ID"]
    for name in ("web.1", f"web.1.{task}", task):
        assert shared_host.ctl("exec", name, "/bin/busybox", "echo", "here").stdout == "here\n"
    node = shared_host.ctl("info", "--format", "{{.Swarm.NodeID}}").stdout.strip()
    assert "web.1" in shared_host.ctl("ps", "--node", node, "--format", "{{.Names}}").stdout
    shared_host.ctl("service", "rm", "web")


def test_a_daemon_that_is_killed_leaves_the_terminal_in_order(shared_host: Host) -> None:
    with at_terminal(shared_host, "run", "-it", "--name", "orphan", *SHELL) as shell:
        shell.sees(b"# ")
        shared_host.stop(signal.SIGKILL)
        assert shell.ended() == 125
        shell.sees(b"error waiting for container")
    shared_host.start()
    assert shared_host.ctl("inspect", "-f", "{{.State.Status}}", "orphan").stdout == "running\n"
    shared_host.ctl("rm", "-f", "orphan")
