"""Kills swarmd, the supervisor, or a container's first process at one step of a start, and looks what is left.

A step is a call of a function of ours. The program that is to die runs with a hook (``sys.setprofile``) that counts
calls in the modules which make a start, and sends SIGKILL to its own process at the step that a file names; it takes
that file away first, so that each fault happens once. Where the file is still there, the start had fewer steps.

An OCI runtime makes no calls of ours. While it is at work a step is ``RUNTIME_STEP_SECONDS``, counted from its start.
"""

import contextlib
import json
import re
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
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
    "oci_launch",
    "oci_child",
    "oci_tree",
    "oci_config",
)
STEPS_MAX = 2000
EVERY_STEP = range(1, STEPS_MAX)
RUNTIME_STEP_SECONDS = 0.002
VICTIMS = {
    "supervisor": "the supervisor, at a step of its own",
    "child": "its child that becomes or makes the first process",
    "parent": "the supervisor, at a step of that child",
    "swarmd": "swarmd, at a step of its own",
}
VICTIMS_OF_A_RUNTIME = {
    "runtime": "an OCI runtime at work",
    "above": "the supervisor, while an OCI runtime is at work",
}
HOOK = '''
import sys as _sys, os as _os
_fault, _names, _pause = {fault!r}, {names!r}, {pause!r}

_OF_PARENT = (("supervisor", "parent"), ("supervisor", "above"))

def _arm(where):
    """Counts from here on, where the file says so; gives what is to be closed when the start is over, or -1."""
    try:
        with open(_fault) as file:
            wanted, step = file.read().split()
    except FileNotFoundError:
        return -1
    own, left = _os.getpid(), [int(step)]
    killer = _killer() if (where, wanted) in _OF_PARENT else -1

    def count(frame, event, _argument):
        if event != "call" or not frame.f_code.co_filename.endswith(_names):
            return
        if (wanted in ("supervisor", "swarmd")) == (_os.getpid() != own):
            return
        if wanted in ("runtime", "above"):
            if frame.f_code.co_name == "_exit_code":
                strike_later(frame.f_locals["pid"])
            return
        left[0] -= 1
        if left[0] == 0:
            strike(_os.getpid())

    def strike_later(runtime):
        from time import sleep

        sleep((left[0] - 1) * _pause)
        with open(f"/proc/{{runtime}}/stat") as file:
            if file.read().rpartition(")")[2].split()[0] != "Z":  # else its work was done
                strike(runtime)

    def strike(pid):
        _sys.setprofile(None)
        if not _os.path.exists(_fault):  # the start was over
            return
        _os.unlink(_fault)
        if killer < 0:
            _os.kill(pid, 9)
        else:
            from time import sleep

            _os.write(killer, b"!")
            sleep(2 * _pause)  # so that it is dead before the next step

    if wanted == where or (where == "supervisor" and wanted != "swarmd"):
        _sys.setprofile(count)
    return killer

def _killer():
    """Kills this process when something is written there; in a pid namespace of its own, a child cannot."""
    own, (reading, writing) = _os.getpid(), _os.pipe()
    if _os.fork() == 0:
        _os.close(writing)
        if _os.read(reading, 1):
            _os.kill(own, 9)
        _os._exit(0)
    _os.close(reading)
    return writing
'''
OF_SUPERVISOR = """
_start = Launcher.start
def _armed_start(self, *arguments):
    killer = _arm("supervisor")
    try:
        return _start(self, *arguments)
    finally:
        _sys.setprofile(None)
        if killer >= 0:
            _os.close(killer)
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
    hook = HOOK.format(fault=fault, names=_files(OF_THE_SUPERVISOR), pause=RUNTIME_STEP_SECONDS)
    source = source.replace(HERE, f"sys.path.append({str(REPOSITORY)!r})")
    supervisor.write_text(source.replace(MAIN, f"{hook}\n{OF_SUPERVISOR}\n{MAIN}"))
    program = host.directory / "patched.py"
    hook = HOOK.format(fault=fault, names=_files(OF_SWARMD), pause=RUNTIME_STEP_SECONDS)
    program.write_text(PATCHED_SWARMD.format(hook=hook, supervisor=str(supervisor)))
    host.program = (program,)


def _files(modules: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"/{name}.py" for name in modules)


class Faults:
    """One host whose programs are killed again and again."""

    def __init__(self, host: Host, runtime: str = "") -> None:
        """``runtime`` names the one that makes its containers; "" is our own."""
        self.host = host
        self._runtime = ("--runtime", runtime) if runtime else ()
        self._fault = host.directory / "fault"
        self._run("first")
        self._remove_all()
        self._before = traces(host)

    def sweep(self, who: str, steps: Sequence[int]) -> int:
        """Kills one of the victims at these steps of a start; gives how many steps there were."""
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
            "--tmpfs", "/t", "--no-healthcheck", *self._runtime, "hello:1", "/bin/sh", "-c", "sleep 1000; true",
            check=check,
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
    for directory in ("netns", "running", "exits", "etc", "oci"):
        found += [f"{directory}/{path.name}" for path in _below(host.exec_root / directory)]
    for directory in ("containers", "volumes"):
        found += [f"{directory}/{path.name}" for path in _below(host.data_root / directory)]
    rules = host.inside("nft", "list", "ruleset").stdout
    return [*sorted(found), re.sub(r"counter packets \d+ bytes \d+", "", rules)]


def _below(directory: Path) -> list[Path]:
    return sorted(directory.iterdir()) if directory.is_dir() else []


def sweep_all(_seed: int, _rounds: int) -> None:
    """Every step of a start, killed once, by our runtime and by crun where that is: a part of chaos."""
    sweep_every(VICTIMS)
    if shutil.which("crun"):
        sweep_every(VICTIMS | VICTIMS_OF_A_RUNTIME, "crun")


def sweep_every(victims: Mapping[str, str], runtime: str = "", steps: range = EVERY_STEP) -> None:
    """Kills these victims at each of these steps, on a host of its own."""
    host = make_swarm()
    try:
        with faulty(host, runtime) as faults:
            for who in victims:
                print(f"==> starts by {runtime or 'swarmd'}: {victims[who]} is killed", flush=True)
                count = faults.sweep(who, steps)
                print(f"    {count} steps, nothing left of any", flush=True)
        host.remove()
    finally:
        host.erase()


@contextlib.contextmanager
def faulty(host: Host, runtime: str = "") -> Iterator[Faults]:
    """Its programs die where they are told, until the end."""
    arm(host)
    host.stop(signal.SIGTERM)
    host.start()
    yield Faults(host, runtime)
