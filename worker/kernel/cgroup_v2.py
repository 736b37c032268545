"""Control groups of version 2: one tree, controllers enabled level by level, processes in leaves only."""

import errno
import os
import struct

from worker.kernel import syscalls
from worker.kernel.cgroupfs import (
    KILL_ROUNDS_MAX,
    MEMORY_UNLIMITED,
    Entrance,
    Limits,
    Stats,
    keyed_numbers,
    pause,
    read_processes,
    read_text,
    remove_directory,
    write_text,
)
from worker.kernel.device_rules import v2_program

USED_CONTROLLERS = ("cpu", "memory", "pids")
_SIGKILL = 9
_BPF_PROG_TYPE_CGROUP_DEVICE = 15
_BPF_CGROUP_DEVICE = 6
_BPF_F_ALLOW_MULTI = 2
_BPF_LICENSE = b"Apache-2.0\0"


def v2_settings(limits: Limits) -> list[tuple[str, str]]:
    """File and value of what to write into a new group, in order."""
    settings = []
    if limits.cpu_quota_us:
        settings.append(("cpu.max", f"{limits.cpu_quota_us} {limits.cpu_period_us}"))
    if limits.memory_bytes:
        settings.append(("memory.max", str(limits.memory_bytes)))
    if limits.memory_and_swap_bytes != MEMORY_UNLIMITED:
        swap = max(limits.memory_and_swap_bytes - limits.memory_bytes, 0)
        settings.append(("memory.swap.max", str(swap)))
    if limits.memory_reservation_bytes:
        settings.append(("memory.low", str(limits.memory_reservation_bytes)))
    if limits.pids > 0:
        settings.append(("pids.max", str(limits.pids)))
    return settings


class CgroupsV2:
    """One directory for each group."""

    def __init__(self, root: str, parent: str) -> None:
        self._root = root
        self._relative = parent
        self._parent = f"{root}/{parent}"
        self._device_program = -1
        self._is_prepared = False
        self.shown: tuple[str, ...] = ()

    def create(self, name: str, limits: Limits) -> None:
        """Makes the group, with its device list, and sets its limits."""
        directory = f"{self._parent}/{name}"
        if not self._is_prepared or not os.path.isdir(self._parent):
            self._prepare()
        try:
            os.mkdir(directory, 0o755)
        except FileExistsError:
            pass
        else:
            self._attach_devices(directory)
        for file, value in v2_settings(limits):
            if file == "memory.swap.max" and not os.path.exists(f"{directory}/{file}"):
                continue  # The kernel does not account for swap.
            if not os.path.exists(f"{directory}/{file}"):
                controller = file.partition(".")[0]
                raise OSError(2, f"{self._parent} has no {controller} controller for this limit")
            write_text(f"{directory}/{file}", value)

    def _prepare(self) -> None:
        """Makes the parent and enables the controllers that there are on every level down to it."""
        directory = self._root
        for part in self._relative.split("/"):
            enable_controllers(directory)
            directory = f"{directory}/{part}"
            if not os.path.isdir(directory):
                os.mkdir(directory, 0o755)
        enable_controllers(directory)
        self._is_prepared = True

    def _attach_devices(self, directory: str) -> None:
        if self._device_program < 0:
            self._device_program = load_device_program(v2_program())
        fd = os.open(directory, os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            attributes = (fd, self._device_program, _BPF_CGROUP_DEVICE, _BPF_F_ALLOW_MULTI, 0)
            syscalls.bpf(syscalls.BPF_PROG_ATTACH, struct.pack("<5I", *attributes))
        finally:
            os.close(fd)

    def entrance(self, name: str) -> Entrance:
        """The process is born in the group."""
        flags = os.O_DIRECTORY | os.O_CLOEXEC
        return Entrance([], os.open(f"{self._parent}/{name}", flags))

    def processes(self, name: str) -> list[int]:
        """Pids of the group and of those below it."""
        return read_processes(f"{self._parent}/{name}")

    def kill(self, name: str) -> None:
        """By ``cgroup.kill``; one by one on a kernel before 5.14."""
        directory = f"{self._parent}/{name}"
        if os.path.exists(f"{directory}/cgroup.kill"):
            write_text(f"{directory}/cgroup.kill", "1")
            return
        for _ in range(KILL_ROUNDS_MAX):
            pids = self.processes(name)
            if not pids:
                return
            for pid in pids:
                _kill(pid)
            pause()

    def stats(self, name: str) -> Stats:
        """Reads one file of each controller; a controller that is not enabled reads 0."""
        directory = f"{self._parent}/{name}"
        usage = keyed_numbers(read_text(f"{directory}/cpu.stat")).get("usage_usec", 0)
        return Stats(
            cpu_ns=usage * 1000,
            memory_bytes=_number(f"{directory}/memory.current"),
            memory_limit_bytes=_number(f"{directory}/memory.max"),
            pids=_number(f"{directory}/pids.current"),
        )

    def oom_kills(self, name: str) -> int:
        """The ``oom_kill`` counter of ``memory.events``."""
        try:
            text = read_text(f"{self._parent}/{name}/memory.events")
        except FileNotFoundError:
            return 0
        return keyed_numbers(text).get("oom_kill", 0)

    def remove(self, name: str) -> bool:
        """Removes the group and those below it."""
        return remove_directory(f"{self._parent}/{name}")

    def remove_parent(self) -> None:
        """Removes the parent when it is empty."""
        try:
            os.rmdir(self._parent)
        except OSError:
            return
        self._is_prepared = False


def missing_controllers(controllers: str, enabled: str) -> list[str]:
    """Of those that we use, what a level has and does not yet hand down."""
    have, done = controllers.split(), enabled.split()
    return [name for name in USED_CONTROLLERS if name in have and name not in done]


def enable_controllers(directory: str) -> None:
    """Hands the controllers of a level down to its children.

    Raises:
        OSError: the group holds processes itself, so that the kernel refuses; or it is not ours to change.
    """
    missing = missing_controllers(
        read_text(f"{directory}/cgroup.controllers"),
        read_text(f"{directory}/cgroup.subtree_control"),
    )
    if not missing:
        return
    try:
        write_text(f"{directory}/cgroup.subtree_control", " ".join(f"+{name}" for name in missing))
    except OSError as error:
        if error.errno == errno.EBUSY:
            message = f"{directory} holds processes and groups both: move the processes to a leaf"
            raise OSError(error.errno, message) from error
        raise


def load_device_program(program: bytes) -> int:
    """Gives the program to the kernel; the answer is its descriptor."""
    instructions = syscalls.text_buffer(program)
    license_text = syscalls.text_buffer(_BPF_LICENSE)
    attributes = struct.pack(
        "<IIQQIIQ",
        _BPF_PROG_TYPE_CGROUP_DEVICE,
        len(program) // 8,
        syscalls.address_of(instructions),
        syscalls.address_of(license_text),
        0,
        0,
        0,
    )
    return syscalls.bpf(syscalls.BPF_PROG_LOAD, attributes)


def _number(path: str) -> int:
    try:
        text = read_text(path).strip()
    except FileNotFoundError:
        return 0
    return int(text) if text.isdigit() else 0


def _kill(pid: int) -> None:
    try:
        os.kill(pid, _SIGKILL)
    except ProcessLookupError:
        return
