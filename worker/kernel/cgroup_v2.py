"""Control groups of version 2: one tree, controllers enabled level by level, processes in leaves only."""

import errno
import os
import struct

from worker.kernel import syscalls
from worker.kernel.cgroupfs import (
    CPU_PERIOD_US,
    KILL_ROUNDS_MAX,
    MEMORY_UNLIMITED,
    Entrance,
    Limits,
    keyed_numbers,
    pause,
    read_processes,
    read_text,
    remove_directory,
    write_text,
    write_texts,
)
from worker.kernel.device_rules import DEFAULT_DEVICE_RULES, EVERYTHING, Rule, v2_program

USED_CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids")
_SWAP = "memory.swap.max"
_IO_WEIGHT = "io.bfq.weight"
_CPU_WEIGHT = 100
"""The kernel's own."""
_IO_WEIGHT_DEFAULT = 100
_SIGKILL = 9
_BPF_PROG_TYPE_CGROUP_DEVICE = 15
_BPF_CGROUP_DEVICE = 6
_BPF_F_ALLOW_MULTI = 2
_BPF_LICENSE = b"Apache-2.0\0"


def v2_settings(limits: Limits) -> list[tuple[str, str]]:
    """File and value of what to write into a new group, in order: a new one has no limit."""
    has_cpu = limits.cpu_quota_us or limits.cpu_period_us != CPU_PERIOD_US
    both = limits.memory_and_swap_bytes
    swap = str(max(both - limits.memory_bytes, 0)) if both != MEMORY_UNLIMITED else ""
    settings = (
        ("cpu.weight", str(cpu_weight(limits.cpu_shares)) if limits.cpu_shares else ""),
        ("cpu.max", f"{limits.cpu_quota_us or 'max'} {limits.cpu_period_us}" if has_cpu else ""),
        ("cpuset.cpus", limits.cpuset_cpus),
        ("cpuset.mems", limits.cpuset_mems),
        ("memory.max", _limit(limits.memory_bytes)),
        (_SWAP, swap),
        ("memory.low", _limit(limits.memory_reservation_bytes)),
        ("pids.max", _limit(limits.pids)),
        (_IO_WEIGHT, _limit(limits.blkio_weight)),
    )
    return [(file, value) for file, value in settings if value]


def _limit(value: int) -> str:
    return str(value) if value > 0 else ""


def v2_changes(limits: Limits) -> list[tuple[str, str]]:
    """What to write into a group in use so that these are its limits, and nothing else limits it."""
    unlimited = {
        "cpu.weight": str(_CPU_WEIGHT),
        "cpu.max": f"max {limits.cpu_period_us}",
        "cpuset.cpus": "",
        "cpuset.mems": "",
        "memory.max": "max",
        _SWAP: "max",
        "memory.low": "0",
        "pids.max": "max",
        _IO_WEIGHT: "",
    }
    return list((unlimited | dict(v2_settings(limits))).items())


def cpu_weight(shares: int) -> int:
    """Docker's shares, 2 to 262144, as a weight, 1 to 10000: as its runtimes convert them."""
    return 1 + (shares - 2) * 9999 // 262142


def io_weight(weight: int) -> int:
    """A weight of block I/O, 10 to 1000, as one of ``io.weight``, 1 to 10000."""
    return 1 + (weight - 10) * 9999 // 990


class CgroupsV2:
    """One directory for each group."""

    def __init__(self, root: str, parent: str) -> None:
        self._root = root
        self._relative = parent
        self._parent = f"{root}/{parent}"
        self._device_program = -1
        self._is_prepared = False
        self.shown: tuple[str, ...] = ()

    def create(
        self, name: str, limits: Limits, devices: tuple[Rule, ...] = DEFAULT_DEVICE_RULES
    ) -> None:
        """Makes the group, with its device list, and sets its limits."""
        directory = f"{self._parent}/{name}"
        if not self._is_prepared or not os.path.isdir(self._parent):
            self._prepare()
        is_new = True
        try:
            os.mkdir(directory, 0o755)
        except FileExistsError:
            is_new = False  # Whoever made it may not have come as far as its devices.
        self._attach_devices(directory, devices, is_new=is_new)
        for path, value in self._paths(name, v2_settings(limits)):
            write_text(path, value)

    def update(self, name: str, limits: Limits) -> None:
        """Sets all limits; one that is refused leaves all as they were.

        The kernel would make room by killing when memory is limited to less than is used; that is refused here.
        """
        directory = f"{self._parent}/{name}"
        if not os.path.isdir(directory):
            raise FileNotFoundError(2, f"no control group {name}")
        current = f"{directory}/memory.current"
        if limits.memory_bytes > 0 and os.path.exists(current):
            used = int(read_text(current))
            if used > limits.memory_bytes:
                words = f"memory limit {limits.memory_bytes} is less than the {used} bytes in use"
                raise OSError(errno.EBUSY, words)
        wanted = dict(v2_settings(limits))
        changes = [
            (file, value)
            for file, value in v2_changes(limits)
            if file in wanted or os.path.exists(f"{directory}/{file}")
        ]  # A limit that the kernel does not have needs no lifting.
        write_texts(self._paths(name, changes))

    def _paths(self, name: str, settings: list[tuple[str, str]]) -> list[tuple[str, str]]:
        directory = f"{self._parent}/{name}"
        paths = []
        for file, value in settings:
            if file == _SWAP and not os.path.exists(f"{directory}/{file}"):
                continue  # The kernel does not account for swap.
            if file == _IO_WEIGHT:
                paths.append(_weight(directory, value))
                continue
            if not os.path.exists(f"{directory}/{file}"):
                controller = file.partition(".")[0]
                raise OSError(2, f"{self._parent} has no {controller} controller for this limit")
            paths.append((f"{directory}/{file}", value))
        return paths

    def place(self, controller: str, name: str) -> str:  # noqa: ARG002 - one directory has them all
        """The group's directory."""
        return f"{self._parent}/{name}"

    def freeze(self, name: str) -> bool:
        """Says so; ``cgroup.events`` tells when the last one stands still."""
        write_text(f"{self._parent}/{name}/cgroup.freeze", "1")
        return keyed_numbers(read_text(f"{self._parent}/{name}/cgroup.events")).get("frozen") == 1

    def thaw(self, name: str) -> None:
        """Lets them go on."""
        write_text(f"{self._parent}/{name}/cgroup.freeze", "0")

    def is_frozen(self, name: str) -> bool:
        """Whether they stand still, or are about to."""
        path = f"{self._parent}/{name}/cgroup.freeze"
        return os.path.exists(path) and read_text(path).strip() == "1"

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

    def _attach_devices(self, directory: str, devices: tuple[Rule, ...], *, is_new: bool) -> None:
        """Programs that are there already stay: a device may be used when all of them allow it."""
        if EVERYTHING in devices:
            return
        program = self._program(devices)
        fd = os.open(directory, os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            attributes = (fd, program, _BPF_CGROUP_DEVICE, _BPF_F_ALLOW_MULTI, 0)
            syscalls.bpf(syscalls.BPF_PROG_ATTACH, struct.pack("<5I", *attributes))
        except OSError as error:
            if is_new or error.errno != errno.EINVAL:
                raise  # EINVAL: this very program is there.
        finally:
            os.close(fd)
            if program != self._device_program:
                os.close(program)

    def _program(self, devices: tuple[Rule, ...]) -> int:
        """The default one is loaded once; another is the group's own."""
        if devices != DEFAULT_DEVICE_RULES:
            return load_device_program(v2_program(devices))
        if self._device_program < 0:
            self._device_program = load_device_program(v2_program())
        return self._device_program

    def entrance(self, name: str) -> Entrance:
        """The process is born in the group."""
        flags = os.O_DIRECTORY | os.O_CLOEXEC
        return Entrance([], os.open(f"{self._parent}/{name}", flags), ())

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


def _weight(directory: str, value: str) -> tuple[str, str]:
    """The file that weighs block I/O, and what to write to it; "" is as the kernel has it."""
    for file, convert in (("io.bfq.weight", int), ("io.weight", io_weight)):
        if os.path.exists(f"{directory}/{file}"):
            number = convert(int(value)) if value else _IO_WEIGHT_DEFAULT
            return f"{directory}/{file}", str(number)
    raise OSError(2, "the kernel has no weights of block I/O (its I/O scheduler cannot weigh)")


def _kill(pid: int) -> None:
    try:
        os.kill(pid, _SIGKILL)
    except ProcessLookupError:
        return
