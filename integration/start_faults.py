"""Kills swarmd, the supervisor, or a container's first process at one step of a start, and looks what is left.

A step is a call of a function of ours. The program that is to die runs with a hook (``sys.setprofile``) that counts
calls in the modules which make a start, and sends SIGKILL to its own process at the step that a file names; it takes
that file away first, so that each fault happens once. Where the file is still there, the start had fewer steps.
"""

import contextlib
import json
import re
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

from integration.conftest import make_swarm
from integration.host import REPOSITORY, Host, wait_for
from integration.links import run

PROGRAM = REPOSITORY / "worker/runtime/supervisor_main.py"
HERE = "sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(_HERE))))"
MAIN = 'if __name__ == "__main__":'
OF_THE_SUPERVISOR = (
    "launch",
    "plumbing",
    "child",
    "rootfs",
    "mounts",
    "targets",
    "process",
    "devices",
    "syscalls",
    "users",
)
STEPS_MAX = 2000
HOOK = '''
import sys as _sys, os as _os
_fault, _names = {fault!r}, {names!r}

def _arm(where):
    """Counts from here on, where the file says so."""
    try:
        with open(_fault) as file:
            wanted, step = file.read().split()
    except FileNotFoundError:
        return
    own, left = _os.getpid(), [int(step)]

    def count(frame, event, _argument):
        if event != "call" or not frame.f_code.co_filename.endswith(_names):
            return
        if (wanted == "child") != (_os.getpid() != own):
            return
        left[0] -= 1
        if left[0] == 0:
            _sys.setprofile(None)
            if _os.path.exists(_fault):  # else the start was over
                _os.unlink(_fault)
                _os.kill(_os.getpid(), 9)

    if wanted == where or (where, wanted) == ("supervisor", "child"):
        _sys.setprofile(count)
'''
OF_SUPERVISOR = """
_start = Launcher.start
def _armed_start(self, *arguments):
    _arm("supervisor")
    try:
        return _start(self, *arguments)
    finally:
        _sys.setprofile(None)
Launcher.start = _armed_start
"""
PATCHED_SWARMD = """
{hook}
import pathlib
import worker.runtime.supervision as supervision
supervision._PROGRAM = pathlib.Path({supervisor!r})
from worker.containers.engine import LocalEngine

_create = LocalEngine.create
async def _armed_create(self, *arguments, **more):
    _arm("swarmd")
    return await _create(self, *arguments, **more)
LocalEngine.create = _armed_create

from cli.swarmd.main import main
main()
"""
OF_SWARMD = (
    "creating",
    "workshop",
    "records",
    "running",
    "link",
    "node_network",
    "sandboxes",
    "veth",
    "local",
    "client",
    "supervision",
)


def arm(host: Host) -> None:
    """From its next start on, this host's programs die where they are told."""
    fault = str(host.directory / "fault")
    supervisor = host.directory / "supervisor_main.py"
    source = PROGRAM.read_text()
    assert source.count(HERE) == source.count(MAIN) == 1
    hook = HOOK.format(fault=fault, names=_files(OF_THE_SUPERVISOR))
    source = source.replace(HERE, f"sys.path.append({str(REPOSITORY)!r})")
    supervisor.write_text(source.replace(MAIN, f"{hook}\n{OF_SUPERVISOR}\n{MAIN}"))
    program = host.directory / "patched.py"
    hook = HOOK.format(fault=fault, names=_files(OF_SWARMD))
    program.write_text(PATCHED_SWARMD.format(hook=hook, supervisor=str(supervisor)))
    host.program = (program,)


def _files(modules: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"/{name}.py" for name in modules)


class Faults:
    """One host whose programs are killed again and again."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._fault = host.directory / "fault"
        self._run("first")
        self._remove_all()
        self._before = traces(host)

    def sweep(self, who: str, steps: Sequence[int]) -> int:
        """Kills "swarmd", the "supervisor" or its "child" at these steps of a start; gives how many there were."""
        fired = 0
        for step in steps:
            try:
                has_fired = self._kill_at(who, step)
            except BaseException:
                print(f"{who} killed at step {step}\n{self.host.tail()}", flush=True)
                raise
            if not has_fired:
                break
            fired += 1
        return fired

    def _kill_at(self, who: str, step: int) -> bool:
        self._fault.write_text(f"{who} {step}")
        where = f"{who} killed at step {step}"
        self._run("victim", check=False)
        has_fired = not self._fault.exists()
        self._fault.unlink(missing_ok=True)
        if who == "swarmd" and has_fired:
            self.host.ended()
            self.host.start()
        self._remove_all()
        wait_for(f"nothing to be left: {where}", lambda: traces(self.host) == self._before)
        self._run("after")
        self._remove_all()
        assert traces(self.host) == self._before, where
        return has_fired

    def _run(self, name: str, *, check: bool = True) -> None:
        self.host.docker(
            "run", "-d", "--name", name, "-v", "/anonymous", "-v", f"named-{name}:/data", "--memory", "64m",
            "--tmpfs", "/t", "--no-healthcheck", "hello:1", "/bin/sh", "-c", "sleep 1000; true", check=check,
        )  # fmt: skip

    def _remove_all(self) -> None:
        ids = self.host.docker("ps", "-aq", "--no-trunc").stdout.split()
        if ids:
            self.host.docker("rm", "-fv", *ids)
        volumes = self.host.docker("volume", "ls", "-q").stdout.split()
        if volumes:
            self.host.docker("volume", "rm", *volumes)


def traces(host: Host) -> list[str]:
    """All that a container could have left in the kernel and on the disk, without what changes anyway."""
    found = [f"mount {path}" for path in host.mounts()]
    for group in host.cgroups():
        found += [f"cgroup {path}" for path in group.rglob("*") if path.is_dir()]
    links = json.loads(run("ip", "-n", host.name, "-j", "link").stdout)
    found += [f"link {link['ifname']}" for link in links]
    found += [f"process {re.sub(r'[0-9]+', 'N', line)}" for _, line in host.processes()]
    for directory in ("netns", "running", "exits", "etc"):
        found += [f"{directory}/{path.name}" for path in _below(host.exec_root / directory)]
    for directory in ("containers", "volumes"):
        found += [f"{directory}/{path.name}" for path in _below(host.data_root / directory)]
    rules = host.inside("nft", "list", "ruleset").stdout
    return [*sorted(found), re.sub(r"counter packets \d+ bytes \d+", "", rules)]


def _below(directory: Path) -> list[Path]:
    return sorted(directory.iterdir()) if directory.is_dir() else []


def sweep_all(_seed: int, _rounds: int) -> None:
    """Every step of a start, killed once: a part of chaos."""
    host = make_swarm()
    try:
        with faulty(host) as faults:
            for who in ("supervisor", "child", "swarmd"):
                print(f"==> starts: {who} killed at every step", flush=True)
                count = faults.sweep(who, range(1, STEPS_MAX))
                print(f"    {count} steps, nothing left of any", flush=True)
        host.remove()
    finally:
        host.erase()


@contextlib.contextmanager
def faulty(host: Host) -> Iterator[Faults]:
    """Its programs die where they are told, until the end."""
    arm(host)
    host.stop(signal.SIGTERM)
    host.start()
    yield Faults(host)
