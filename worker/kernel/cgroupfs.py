"""Control groups behind one interface, whichever kind the machine has.

A *group* is one container's, named by the container's id, below a parent that is all the daemon's own. ``cgroup_v1``
(with the unified hierarchy beside it when there is one) and ``cgroup_v2`` implement ``Cgroups``. The supervisor
imports this, so it imports little itself.
"""

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Protocol

    from worker.kernel.device_rules import Rule

    class Cgroups(Protocol):
        """All groups of one daemon."""

        shown: tuple[str, ...]
        """v1: the hierarchies that a container sees of itself, as mount options; empty for v2."""

        def create(self, name: str, limits: "Limits", devices: "tuple[Rule, ...]" = ...) -> None:
            """Makes a group, or sets the limits of one that exists; no device may be used but these.

            Raises:
                OSError: the kernel refused, or it lacks a controller that a limit needs.
            """
            ...

        def update(self, name: str, limits: "Limits") -> None:
            """Sets all limits of a group in use; what is zero becomes unlimited.

            Raises:
                OSError: the kernel refused one; those before it are as they were.
            """
            ...

        def freeze(self, name: str) -> bool:
            """Has all processes of the group stand still; False while some still run: it is to be called again."""
            ...

        def thaw(self, name: str) -> None:
            """Lets them go on."""
            ...

        def is_frozen(self, name: str) -> bool:
            """Whether its processes stand still, or are about to; False when the group is gone."""
            ...

        def place(self, controller: str, name: str) -> str:
            """The group's directory with the files of a controller; "" without that controller."""
            ...

        def entrance(self, name: str) -> "Entrance":
            """Opens what a new process needs to be in the group."""
            ...

        def processes(self, name: str) -> list[int]:
            """Pids of all processes in the group and below it."""
            ...

        def kill(self, name: str) -> None:
            """SIGKILL to every process in the group; a group that is gone is fine."""
            ...

        def oom_kills(self, name: str) -> int:
            """How many processes of the group the kernel killed for want of memory; 0 when the group is gone."""
            ...

        def remove(self, name: str) -> bool:
            """Takes the group away; False while the kernel still holds it busy."""
            ...

        def remove_parent(self) -> None:
            """Takes the parent away when it is empty; else leaves it."""
            ...


MEMORY_UNLIMITED = -1
CPU_PERIOD_US = 100_000
"""The kernel's own."""
CPU_SHARES = 1024
"""The kernel's own."""
KILL_ROUNDS_MAX = 50
_KILL_PAUSE_SECONDS = 0.002
_READ_BYTES_MAX = 1 << 20


class Limits:
    """What a group may use; zero means unlimited. The fields are those of ``worker.runtime.bundle.CgroupLimits``."""

    __slots__ = (
        "blkio_weight",
        "cpu_period_us",
        "cpu_quota_us",
        "cpu_shares",
        "cpuset_cpus",
        "cpuset_mems",
        "memory_bytes",
        "memory_reservation_bytes",
        "memory_swap_bytes",
        "memory_swappiness",
        "oom_kill_disable",
        "pids",
    )

    def __init__(self, values: "Mapping[str, Any]") -> None:
        self.cpu_quota_us: int = values.get("cpu_quota_us", 0)
        self.cpu_period_us: int = values.get("cpu_period_us", 0) or CPU_PERIOD_US
        self.cpu_shares: int = values.get("cpu_shares", 0)
        self.cpuset_cpus: str = values.get("cpuset_cpus", "")
        self.cpuset_mems: str = values.get("cpuset_mems", "")
        self.memory_bytes: int = values.get("memory_bytes", 0)
        self.memory_swap_bytes: int = values.get("memory_swap_bytes", 0)
        self.memory_reservation_bytes: int = values.get("memory_reservation_bytes", 0)
        self.memory_swappiness: int = values.get("memory_swappiness", -1)
        self.oom_kill_disable: bool = values.get("oom_kill_disable", False)
        self.pids: int = values.get("pids", 0)
        self.blkio_weight: int = values.get("blkio_weight", 0)

    @property
    def memory_and_swap_bytes(self) -> int:
        """The limit of both together: Docker's default is twice the memory; ``MEMORY_UNLIMITED`` is none."""
        if self.memory_swap_bytes < 0 or not self.memory_bytes:
            return MEMORY_UNLIMITED
        return self.memory_swap_bytes or 2 * self.memory_bytes


class Entrance:
    """Descriptors by which a new process comes into a group; close them when it is in."""

    __slots__ = ("born_in", "shown", "to_join")

    def __init__(self, to_join: list[int], born_in: int, shown: tuple[str, ...]) -> None:
        self.to_join = to_join
        """v1: files that the process, which has one thread, writes "0" to."""
        self.born_in = born_in
        """A directory for clone's CLONE_INTO_CGROUP, or -1."""
        self.shown = shown
        """v1: the hierarchies that the group is in, as mount options; empty for v2."""

    def join(self) -> None:
        """Called by the new process itself."""
        for fd in self.to_join:
            os.write(fd, b"0")

    def close(self) -> None:
        """Closes all descriptors."""
        for fd in (*self.to_join, *([self.born_in] if self.born_in >= 0 else [])):
            os.close(fd)


class Hierarchies:
    """Where the kernel shows its control groups."""

    __slots__ = ("controllers", "unified")

    def __init__(self, controllers: dict[str, str], unified: str) -> None:
        self.controllers = controllers
        """v1: mount point by controller; empty on a machine with v2 alone."""
        self.unified = unified
        """Mount point of the unified hierarchy, or ""."""


def find_hierarchies(mountinfo: str) -> Hierarchies:
    """Reads them out of ``/proc/self/mountinfo``."""
    controllers: dict[str, str] = {}
    unified = ""
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        where, kind = left.split(" "), right.split(" ")
        if kind[0] == "cgroup2":
            unified = unified or where[4]
        elif kind[0] == "cgroup":
            for option in kind[2].split(","):
                controllers.setdefault(option, where[4])
    return Hierarchies(controllers, unified)


# -- files -----------------------------------------------------------------------------------------


def read_text(path: str) -> str:
    """A small file's text.

    Raises:
        OSError: it cannot be read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(fd, _READ_BYTES_MAX):
            parts.append(part)
    finally:
        os.close(fd)
    return b"".join(parts).decode(errors="surrogateescape")


def write_text(path: str, text: str) -> None:
    """Writes a control file, in one write; an empty text is an empty line.

    Raises:
        OSError: the kernel refused; the message names file and value.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode() or b"\n")
        finally:
            os.close(fd)
    except OSError as error:
        message = f"write {text!r} to {path}: {os.strerror(error.errno or 0)}"
        raise OSError(error.errno, message) from error


def write_texts(settings: "Sequence[tuple[str, str]]") -> None:
    """Writes several control files, or none: when one is refused, those before it get back what they had.

    Raises:
        OSError: the kernel refused; the message names file and value.
    """
    former: list[tuple[str, str]] = []
    try:
        for path, value in settings:
            before = _written_value(read_text(path))
            write_text(path, value)
            former.append((path, before))
    except OSError:
        for path, value in reversed(former):
            write_text(path, value)
        raise


def _written_value(text: str) -> str:
    """What is to be written to have what was read; of several lines (``memory.oom_control``) the first tells."""
    first, _, more = text.partition("\n")
    return first.split()[-1] if more else first


def keyed_numbers(text: str) -> dict[str, int]:
    """Reads lines of the form ``key number``."""
    found = {}
    for line in text.splitlines():
        key, _, number = line.partition(" ")
        if number.strip().lstrip("-").isdigit():
            found[key] = int(number)
    return found


def read_processes(directory: str) -> list[int]:
    """Pids in a group's directory and those below it; none when it is gone."""
    pids: list[int] = []
    for where, _, files in os.walk(directory):
        if "cgroup.procs" in files:
            try:
                pids += [int(word) for word in read_text(f"{where}/cgroup.procs").split()]
            except FileNotFoundError:
                continue
    return [pid for pid in pids if pid > 0]


def remove_directory(directory: str) -> bool:
    """Removes a group's directory and groups below it; False while one is busy."""
    for where, _, _ in os.walk(directory, topdown=False):
        try:
            os.rmdir(where)
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return True


def pause() -> None:
    """A moment between two rounds of killing."""
    time.sleep(_KILL_PAUSE_SECONDS)
