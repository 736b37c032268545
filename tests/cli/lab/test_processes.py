import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.lab import processes

ROOT = Path("/run/swarmd-lab/lab/m1")
DAEMON = "python -P -m cli.swarmd.main --data-root /d --exec-root /run/swarmd-lab/lab/m1"
COMMANDS = {
    "its swarmd": (DAEMON, True, False),
    "what is about to become it": (f"nsenter --net=/run/netns/lab-m1 -- {DAEMON}", True, False),
    "another host's swarmd": (f"{DAEMON}0", False, False),
    "its supervisor": (
        "python -S supervisor_main.py /run/swarmd-lab/lab/m1 /group 1",
        False,
        True,
    ),
    "another host's supervisor": (
        "python -S supervisor_main.py /run/swarmd-lab/lab/m2 /group 1",
        False,
        False,
    ),
    "someone who looks at its directory": ("ls /run/swarmd-lab/lab/m1", False, False),
    "nothing": ("", False, False),
}


@pytest.mark.parametrize(("line", "is_daemon", "is_supervisor"), COMMANDS.values(), ids=COMMANDS)
def test_knows_a_process_by_its_command_line(
    line: str, *, is_daemon: bool, is_supervisor: bool
) -> None:
    words = line.split()
    assert processes.is_daemon(words, ROOT) is is_daemon
    assert processes.is_supervisor(words, ROOT) is is_supervisor


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_kills_what_it_looked_for(sleeper: "subprocess.Popen[bytes]") -> None:
    processes.kill(sleeper.pid, lambda pid: sys.executable in processes.arguments_of(pid))
    assert sleeper.wait(10) == -signal.SIGKILL


def test_leaves_alone_what_is_something_else(sleeper: "subprocess.Popen[bytes]") -> None:
    processes.kill(sleeper.pid, lambda _pid: False)
    with processes.opened(sleeper.pid, lambda _pid: True) as handle:
        assert handle is not None
        assert not handle.ends_within(0)


def test_a_process_that_is_gone_is_fine(sleeper: "subprocess.Popen[bytes]") -> None:
    with processes.opened(sleeper.pid, lambda _pid: True) as handle:
        assert handle is not None
        handle.send(signal.SIGKILL)
        assert handle.ends_within(10)
        sleeper.wait(10)
        handle.send(signal.SIGKILL)
    processes.kill(sleeper.pid, lambda _pid: True)
    assert processes.arguments_of(sleeper.pid) == ()
    assert not processes.is_stopped(sleeper.pid)


def test_spares_itself_and_its_parents() -> None:
    assert {os.getpid(), os.getppid()} <= processes.ourselves()
