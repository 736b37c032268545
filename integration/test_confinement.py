"""What confines a container, compared field by field with what crun makes of Docker's documented defaults."""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from integration.confinement_seen import PROBE, fields_within, fields_without, filter_of
from integration.docker_defaults import Asked, capabilities_of, config
from integration.runtime_world import BUSYBOX, World
from integration.test_escapes import PYTHON, with_python
from tests.support.bpf import answer
from worker.kernel import syscalls
from worker.runtime.bundle import Bundle, DeviceNode
from worker.runtime.capabilities import CAPABILITIES
from worker.runtime.seccomp_programs import UNCONFINED, seccomp_program

CRUN = shutil.which("crun")

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not BUSYBOX.exists(), reason="needs busybox-static"),
    pytest.mark.skipif(CRUN is None, reason="needs crun"),
]
SECONDS_MAX = 20.0
KNOWN = frozenset(name for number, name in enumerate(CAPABILITIES) if syscalls.bounding_has(number))
"""What this machine can give."""
FUSE = ("/dev/fuse", "c", 10, 229, "rw")


@dataclass
class Peer:
    """crun, which sees no unified hierarchy beside v1's: it refuses such a machine."""

    home: Path
    root: Path
    parent: str

    def start(self, asked: Asked, name: str) -> int:
        """Runs the probe in the background; gives its pid."""
        bundle = self.home / name
        bundle.mkdir()
        said = config(
            asked,
            root=str(self.root),
            argv=["/bin/sh", "-c", PROBE],
            cgroup=f"{self.parent}/{name}",
            known=KNOWN,
        )
        (bundle / "config.json").write_text(json.dumps(said))
        pid_file = bundle / "pid"
        with (bundle / "said").open("wb") as output, (bundle / "errors").open("wb") as errors:
            ended = subprocess.run(
                self._crun("run", "-d", "-b", str(bundle), "--pid-file", str(pid_file), name),
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
            )
        assert ended.returncode == 0, self.said(name)
        return int(pid_file.read_text())

    def said(self, name: str) -> str:
        return (self.home / name / "said").read_text() + (self.home / name / "errors").read_text()

    def delete(self, name: str) -> None:
        subprocess.run(self._crun("delete", "-f", name), check=True)

    def _crun(self, *arguments: str) -> list[str]:
        alone = "umount /sys/fs/cgroup/unified 2>/dev/null; exec crun --cgroup-manager=cgroupfs"
        command = f'{alone} --root "$0" "$@"'
        return ["unshare", "-m", "sh", "-c", command, str(self.home / "state"), *arguments]


@pytest.fixture
def peer(world: World) -> Iterator[Peer]:
    root = world.root / "peer-root"
    shutil.copytree(world.base, root, symlinks=True)
    parent = f"/swarmd-test-crun-{os.getpid()}"
    home = world.root / "peer"
    home.mkdir()
    peer = Peer(home, root, parent)
    yield peer
    for state in (home / "state").iterdir():
        peer.delete(state.name)
    for group in Path("/sys/fs/cgroup").glob(f"*{parent}"):
        group.rmdir()


def bundle_for(world: World, asked: Asked) -> Bundle:
    """What swarmd makes of the same options."""
    capabilities = frozenset(capabilities_of(asked, KNOWN))
    hidden = not (asked.privileged or asked.system_paths_unconfined)
    profile = UNCONFINED if asked.privileged or asked.unconfined else ""
    bundle = world.bundle(
        "ours",
        "/bin/sh",
        "-c",
        PROBE,
        hostname="probe",
        env=("PATH=/bin",),
        user=f"{asked.user[0]}:{asked.user[1]}",
        capabilities=capabilities,
        no_new_privileges=asked.no_new_privileges,
        seccomp=seccomp_program(profile, capabilities),
        privileged=asked.privileged,
        devices=tuple(
            DeviceNode(path=path, kind=kind, major=major, minor=minor, access=access)
            for path, kind, major, minor, access in asked.devices
        ),
        device_rules=("a",) if asked.privileged else (),
    )
    return bundle if hidden else replace(bundle, masked_paths=(), read_only_paths=())


async def finished(text: Callable[[], str]) -> str:
    """What a probe said, once it has said all."""
    for _ in range(int(SECONDS_MAX / 0.05)):
        said = text()
        if "\ndone\n" in said:
            return said
        await asyncio.sleep(0.05)
    raise AssertionError(text())


async def seen(world: World, peer: Peer, asked: Asked) -> tuple[dict[str, str], dict[str, str]]:
    """Fields of ours and of the peer's."""
    ours_pid = await world.client.start(bundle_for(world, asked))
    theirs_pid = peer.start(asked, "theirs")
    ours = await finished(lambda: "\n".join([*world.lines("ours"), ""]))
    theirs = await finished(lambda: peer.said("theirs"))
    return (
        fields_within(ours) | fields_without(ours_pid),
        fields_within(theirs) | fields_without(theirs_pid),
    )


STRICTER = {
    "mount./proc/bus": "nodev,noexec,nosuid as well, as runc has it",
    "mount./proc/fs": "likewise",
    "mount./proc/irq": "likewise",
    "mount./proc/sys": "likewise",
    "mount./sys": "the file system itself is read-only, too",
    "mount./proc/acpi": "a masked directory is nodev,noexec,nosuid",
    "mount./sys/firmware": "likewise",
    "mount./proc/scsi": "likewise",
    "mount./proc/asound": "likewise",
    "mount./sys/devices/virtual/powercap": "likewise",
    "mount./proc/interrupts": "masked by the container's own /dev/null, not by the host's",
    "mount./proc/keys": "likewise",
    "mount./proc/kcore": "likewise",
    "mount./proc/timer_list": "likewise",
    "mount./proc/latency_stats": "likewise",
    "mount./proc/sched_debug": "likewise",
    "mount./sys/fs/cgroup": "read-only, as runc has it",
    "path./sys/fs/cgroup": "0755",
    "mount./sys/fs/cgroup/cpuset": "shown when the container is bound to processors",
    "dev./dev/null": "not given to the user, whose standard input crun makes it",
    "mount./sys/fs/cgroup/systemd": "not shown: no group of it is the container's own",
}
"""Fields in which swarmd differs from crun, and how."""

CASES = {
    "nothing": Asked(),
    "capabilities": Asked(add="SYS_PTRACE NET_ADMIN", drop="CHOWN MKNOD"),
    "one capability": Asked(drop="ALL", add="NET_BIND_SERVICE"),
    "the right to mount": Asked(add="SYS_ADMIN"),
    "a user who gains nothing": Asked(user=(1000, 1000), no_new_privileges=True),
    "a device": Asked(devices=(FUSE,)),
    "no filter and nothing hidden": Asked(unconfined=True, system_paths_unconfined=True),
}


@pytest.mark.parametrize("asked", CASES.values(), ids=CASES)
async def test_fields_are_those_of_dockers_defaults(world: World, peer: Peer, asked: Asked) -> None:
    ours, theirs = await seen(world, peer, asked)
    different = {
        name: (ours.get(name), theirs.get(name))
        for name in {*ours, *theirs}
        if ours.get(name) != theirs.get(name) and name not in STRICTER
    }
    assert different == {}
    assert len(ours) > FIELDS_MIN
    assert all(is_read_only(ours[name]) for name in STRICTER if name in ours and "mount." in name)
    assert {
        ours[f"namespace.{kind}"] for kind in ("mnt", "pid", "net", "ipc", "uts", "cgroup")
    } == {"its own"}


FIELDS_MIN = 150


def is_read_only(mount: str) -> bool:
    return "ro" in mount.split(" ")[1].split(",")


ARCHITECTURES = {0xC000003E: (0, 0x40000000), 0x40000003: (0,)}
"""Of the kernel: x86_64 with its second range of numbers, x32, and 32 bits."""
NUMBERS_MAX = 440
"""Calls that every libseccomp knows; ours says of newer ones that they do not exist, as runc's does."""
NEW_NAMESPACES, THREAD = 0x10020000, 0x3D0F00
FIRST_ARGUMENTS = (0, 1, 8, 16, 38, 39, 40, 41, 0x20000, 0xFFFFFFFF, NEW_NAMESPACES, THREAD)


@pytest.mark.parametrize("asked", [Asked(), Asked(add="SYS_ADMIN SYSLOG", drop="SYS_CHROOT")])
async def test_the_filter_answers_as_the_peers(world: World, peer: Peer, asked: Asked) -> None:
    """The programs that the kernel has of both, run for every system call with arguments that matter."""
    ours_pid = await world.client.start(bundle_for(world, asked))
    theirs_pid = peer.start(asked, "theirs")
    await finished(lambda: "\n".join([*world.lines("ours"), ""]))
    await finished(lambda: peer.said("theirs"))
    ours, theirs = filter_of(ours_pid), filter_of(theirs_pid)
    assert ours
    different = [
        (hex(architecture), hex(first + number), hex(argument))
        for architecture, ranges in ARCHITECTURES.items()
        for first in ranges
        for number in range(NUMBERS_MAX)
        for argument in _arguments(number)
        if answer(ours, architecture, first + number, argument)
        != answer(theirs, architecture, first + number, argument)
    ]
    assert different == []


def _arguments(number: int) -> tuple[int, ...]:
    """Only few calls are judged by their arguments: clone, socket and personality, here and with 32 bits."""
    return FIRST_ARGUMENTS if number in (41, 56, 120, 135, 136, 359) else (0,)


async def test_a_privileged_container_is_confined_by_its_namespaces_alone(
    world: World, peer: Peer
) -> None:
    ours, theirs = await seen(world, peer, Asked(privileged=True))
    different = {
        name: (ours.get(name), theirs.get(name))
        for name in {*ours, *theirs}
        if ours.get(name) != theirs.get(name) and name not in STRICTER
    }
    assert different == {}
    assert ours["status.Seccomp"] == "0"
    assert ours["write./sys/kernel/mm/transparent_hugepage/enabled"] == "yes"
    assert ours["write./proc/sys/kernel/core_pattern"] == "yes"


ORDINARY = """
import asyncio, multiprocessing, os, socket, subprocess, threading
threads = [threading.Thread(target=sorted, args=([3, 1, 2],)) for _ in range(50)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
with multiprocessing.Pool(4) as pool:
    print(sum(pool.map(abs, range(-100, 0))))
print(subprocess.run(["/bin/sh", "-c", "id -u"], capture_output=True, text=True).stdout.strip())
async def main():
    process = await asyncio.create_subprocess_exec("/bin/true")
    await asyncio.start_unix_server(lambda reader, writer: writer.close(), "/tmp/socket")
    reader, writer = await asyncio.open_unix_connection("/tmp/socket")
    print(await process.wait(), await reader.read())
asyncio.run(main())
os.close(os.memfd_create("x"))
print(len(os.sched_getaffinity(0)) > 0)
"""


@pytest.mark.parametrize("user", ["", "app"])
async def test_ordinary_programs_run_under_the_filter(world: World, user: str) -> None:
    """Threads, processes, servers: what a libc asks for to make them is allowed, or told that it does not exist."""
    bundle = world.bundle("a", PYTHON, "-S", "-E", "-c", ORDINARY, env=("PATH=/bin",), user=user)
    filtered = replace(bundle, seccomp=seccomp_program("", bundle.capabilities))
    said = await world.run(with_python(filtered))
    assert said == ["5050", "1000" if user else "0", "0 b''", "True"]
